"""The parent's side of a device job: start it, talk to it, follow its log, end all of its processes."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from infra.jobs.errors import (
    DeviceCrash,
    DeviceError,
    DeviceHang,
    DeviceOutOfMemory,
    DeviceSetupError,
    is_memory,
)
from infra.jobs.reap import FD_VARIABLE, JOB_VARIABLE, end_processes

PYTHON_VARIABLE = "RZERO_COMPUTE_PYTHON"
_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("data", "infra")
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "WANDB_MODE": "disabled",
    "TOKENIZERS_PARALLELISM": "true",
    "PYTHONUNBUFFERED": "1",
    # A process title would overwrite the environment by which a job's processes are recognised.
    "SPT_NOENV": "1",
}
"""Variables of every process of a job; with them nothing calls home."""
_ENDING_SECONDS = 20.0
_PATIENCE_SECONDS = 5.0
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_BAR = re.compile(r"\d+%\|")


def interpreter(configured: str | None, setting: str) -> str:
    """The Python of the device environment; DeviceSetupError, naming `setting`, if there is none."""
    chosen = configured or os.environ.get(PYTHON_VARIABLE) or sys.executable
    named = setting if configured else f"${PYTHON_VARIABLE}"
    found = shutil.which(os.path.expanduser(chosen))
    if found is None:
        raise DeviceSetupError(f"{named}: {chosen} is no interpreter; `rzero doctor` says how to make one")
    # Links are not followed: a virtual environment is found by the path of its interpreter.
    return os.path.abspath(found)


@dataclass(frozen=True)
class Message:
    """What a job said: 'ready', 'done', 'failed', 'ended' (the process is gone), or a kind of its own."""

    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)


class DeviceJob:
    """One running job; a context manager that leaves nothing running.

    `entry` ("package.module:function") runs in the interpreter `python` with `spec`, which is JSON, and
    with the variables of `environment` besides this process's own. Its messages arrive in `messages`, which
    other threads may use too; its output goes, line by line, to the log of the stage that started it.
    """

    def __init__(
        self,
        name: str,
        entry: str,
        spec: Mapping[str, Any],
        python: str,
        environment: Mapping[str, str] | None = None,
        messages: queue.Queue[Message] | None = None,
    ) -> None:
        self.name = name
        self.messages: queue.Queue[Message] = queue.Queue() if messages is None else messages
        self.tail: deque[str] = deque(maxlen=60)
        self._heard = time.monotonic()
        self._id = uuid.uuid4().hex
        self._log = stage_log()
        self._python = python
        self.folder = Path(tempfile.mkdtemp(prefix="rzero-job-"))
        self._cleanup = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        job_file = self.folder / "job.json"
        job_file.write_text(json.dumps({"entry": entry, "spec": spec}, indent=1))
        # Only these packages: the rest of this environment must not shadow the other one.
        packages = self.folder / "packages"
        packages.mkdir()
        for package in _PACKAGES:
            (packages / package).symlink_to(_ROOT / package)
        path = [str(packages), *filter(None, [(environment or {}).get("PYTHONPATH")])]
        read_end, write_end = os.pipe()
        inherited = {key: value for key, value in os.environ.items() if key != "PYTHONHOME"}
        self._process = subprocess.Popen(
            [python, "-m", "infra.jobs.child", str(job_file)],
            cwd=self.folder,
            env=inherited
            | QUIET
            | dict(environment or {})
            | {JOB_VARIABLE: self._id, FD_VARIABLE: str(write_end), "PYTHONPATH": os.pathsep.join(path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(write_end,),
            start_new_session=True,
        )
        os.close(write_end)
        assert self._process.stdout is not None
        self._threads = [
            threading.Thread(target=self._read_log, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_messages, args=(os.fdopen(read_end, "rb"),), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def pid(self) -> int:
        """The job's process."""
        return self._process.pid

    def is_running(self) -> bool:
        """Whether the job's process lives."""
        return self._process.poll() is None

    def silent_seconds(self) -> float:
        """The time since its last message or line of log."""
        return time.monotonic() - self._heard

    def heard(self) -> None:
        """Count its silence from now."""
        self._heard = time.monotonic()

    def ask(self, **values: Any) -> None:
        """Send a request; DeviceCrash where the process is gone."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps({"kind": "request", **values}).encode() + b"\n")
            stdin.flush()
        except (BrokenPipeError, ValueError):
            raise self.error_of(Message("ended")) from None

    def wait_for(self, kind: str, timeout_seconds: float, doing: str) -> Mapping[str, Any]:
        """The values of the next message of this kind; other messages are skipped.

        DeviceError if the job fails first; DeviceHang if it says nothing for `timeout_seconds`.
        """
        while True:
            try:
                message = self.messages.get(timeout=timeout_seconds)
            except queue.Empty:
                raise self.hang(doing, timeout_seconds) from None
            if message.kind == kind:
                return message.values
            if message.kind in ("failed", "ended"):
                raise self.error_of(message)

    def hang(self, doing: str, timeout_seconds: float) -> DeviceHang:
        """The error for a job that was silent for too long."""
        last = f"; its last line: {self.tail[-1]}" if self.tail else ""
        return DeviceHang(f"{self.name}: {doing} took more than {timeout_seconds:g} s{last}")

    def error_of(self, message: Message) -> DeviceError:
        """The error that a 'failed' or 'ended' message stands for."""
        if message.kind == "failed":
            text = str(message.values["message"])
            if message.values["problem"] == "setup":
                return DeviceSetupError(f"{self.name}: {text}")
            # An engine's own message says little; its log says why it died.
            if is_memory(text) or any(is_memory(line) for line in self.tail):
                return DeviceOutOfMemory(f"{self.name}: not enough memory ({self._memory_line(text)})")
            return DeviceCrash(f"{self.name}: {text}")
        code = self._process.wait()
        if any(is_memory(line) for line in self.tail):
            return DeviceOutOfMemory(f"{self.name}: not enough memory ({self._memory_line('')})")
        if code == -9:
            return DeviceOutOfMemory(f"{self.name}: killed (signal 9), most likely for the machine's memory")
        last = f"; its last line: {self.tail[-1]}" if self.tail else ""
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return DeviceCrash(f"{self.name}: the process ended with {how}{last}")

    def close(self) -> None:
        """Let the job finish its work, then end all of its processes; the device is free afterwards."""
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError, ValueError):
            stdin.write(b'{"kind": "close"}\n')
            stdin.flush()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDING_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End all of its processes now."""
        # Asked to end, engines release their shared memory, which nobody else would.
        end_processes(self._id, _PATIENCE_SECONDS)
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        for thread in self._threads:
            thread.join(timeout=5.0)
        self._cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.kill()

    def _memory_line(self, text: str) -> str:
        lines = [line for line in (text, *reversed(self.tail)) if is_memory(line)]
        return lines[0].strip()[:300]

    def _read_log(self, stream: IO[bytes]) -> None:
        with stream:
            for raw in stream:
                self._heard = time.monotonic()
                line = _ESCAPES.sub("", raw.decode(errors="replace")).split("\r")[-1].rstrip()
                if line and not _BAR.search(line):
                    self.tail.append(line)
                    self._log.info(f"{self.name}: {line}")

    def _read_messages(self, stream: IO[bytes]) -> None:
        with stream:
            for raw in stream:
                self._heard = time.monotonic()
                values = json.loads(raw)
                self.messages.put(Message(values.pop("kind"), values))

    def _watch(self) -> None:
        self._process.wait()
        # Its children may hold the pipes open; its own words have been read by then.
        for thread in self._threads:
            thread.join(timeout=2.0)
        self.messages.put(Message("ended"))


def stage_log() -> Any:
    """The log of the Prefect task that this thread works for, else rzero's own."""
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_run_logger

    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("rzero.device")
