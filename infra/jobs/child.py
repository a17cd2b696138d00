"""The device job's own process: `python -m infra.jobs.child JOB.json`.

The job file names an entry, "package.module:function", and its specification. The function is called
with the specification and a `Channel`; what it returns is said as "done". Standard output and error are
the job's log. The channel is a pair of pipes: requests come in as JSON lines, messages go out as JSON
lines. Where the parent is gone, everything of the job is ended at once.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import select
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.jobs.reap import FD_VARIABLE, JOB_VARIABLE, end_processes

_PARENT_CHECK_SECONDS = 5.0


class BadInput(Exception):
    """The job cannot be done as specified; the message says what to change."""


class Channel:
    """What the job says to its parent and is asked by it."""

    def __init__(self, requests_fd: int, messages_fd: int) -> None:
        self._messages = messages_fd
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
        """What the parent asks, one by one, until it has no more."""
        while (request := self._queue.get()) is not None:
            yield request

    def _read(self, fd: int, parent: int) -> None:
        buffer = b""
        while True:
            ready, _, _ = select.select([fd], [], [], _PARENT_CHECK_SECONDS)
            if not ready:
                if os.getppid() != parent:
                    _end_all()
                continue
            chunk = os.read(fd, 65536)
            if not chunk:
                # An orderly parent says "close" first.
                _end_all()
            buffer += chunk
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                request = json.loads(line)
                self._queue.put(None if request.get("kind") == "close" else request)


def _end_all() -> None:
    end_processes(os.environ[JOB_VARIABLE])
    os._exit(1)


def main(job_file: str) -> int:
    """Run the job; the exit code."""
    requests_fd = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    # What the job starts must not read the requests.
    os.dup2(null, 0)
    messages_fd = int(os.environ.pop(FD_VARIABLE))
    os.set_inheritable(messages_fd, False)
    channel = Channel(requests_fd, messages_fd)
    job = json.loads(Path(job_file).read_text())
    try:
        module, _, name = job["entry"].partition(":")
        result = getattr(importlib.import_module(module), name)(job["spec"], channel)
        channel.say("done", result=result)
        return 0
    except ModuleNotFoundError as error:
        message = f"{sys.executable} has no package {(error.name or str(error)).split('.')[0]!r}"
        channel.say("failed", problem="setup", message=message)
    except BadInput as error:
        channel.say("failed", problem="setup", message=str(error))
    except BaseException as error:
        traceback.print_exc()
        channel.say("failed", problem="crash", message=f"{type(error).__name__}: {_one_line(error)}")
    return 1


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:600]


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    # Engines leave threads and children that would keep the interpreter; the parent ends the latter.
    with contextlib.suppress(OSError):
        os.close(1)
    os._exit(code)
