"""The job's end of the line to the stage that started it."""

from __future__ import annotations

import json
import os
import queue
import select
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.jobs.reap import JOB_VARIABLE, end_processes

_PARENT_CHECK_SECONDS = 5.0
_PATIENCE_SECONDS = 3.0


class Channel:
    """Tells the parent what happens, and receives its requests."""

    def __init__(self, requests_fd: int, messages_fd: int, folder: Path) -> None:
        self._messages = messages_fd
        self._folder = folder
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        reader = threading.Thread(target=self._read, args=(requests_fd, os.getppid()), daemon=True)
        reader.start()

    def say(self, kind: str, **values: Any) -> None:
        """Tell the parent something."""
        line = json.dumps({"kind": kind, **values}).encode() + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._messages, line) :]

    def requests(self) -> Iterator[dict[str, Any]]:
        """The parent's requests, one by one, until it has no more."""
        while (request := self._queue.get()) is not None:
            yield request

    def _read(self, fd: int, parent: int) -> None:
        buffer = b""
        while True:
            ready, _, _ = select.select([fd], [], [], _PARENT_CHECK_SECONDS)
            if not ready:
                if os.getppid() != parent:
                    self._end_all()
                continue
            chunk = os.read(fd, 65536)
            if not chunk:
                # The parent is gone: it would have ended the job before closing the pipe.
                self._end_all()
            buffer += chunk
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                request = json.loads(line)
                self._queue.put(None if request.get("kind") == "close" else request)

    def _end_all(self) -> None:
        end_processes(os.environ[JOB_VARIABLE], _PATIENCE_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)
        os._exit(1)
