"""The parent's side of device jobs: start them, talk to them, follow their logs, end all their processes."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from data.backends import WHERE_IT_WORKS
from infra.jobs.errors import (
    DeviceCrash,
    DeviceError,
    DeviceHang,
    DeviceOutOfMemory,
    DeviceSetupError,
    is_memory,
)
from infra.jobs.reap import FD_VARIABLE, JOB_VARIABLE, end_processes
from infra.run_log import run_log
from infra.scratch import ScratchFolder

PYTHON_VARIABLE = WHERE_IT_WORKS["python"]
PACKAGES = [Path(__file__).resolve().parents[2] / name for name in ("data", "infra")]
"""What a job's process imports: the rest of this environment must not shadow the other one."""
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "WANDB_MODE": "disabled",
    "TOKENIZERS_PARALLELISM": "true",
    "PYTHONUNBUFFERED": "1",
    # It compiles with nvcc when an engine warms up; requests with seeds, as ours are, pass it by anyway.
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
    # A process title would overwrite the environment by which a job's processes are recognised.
    "SPT_NOENV": "1",
}
"""Variables of every process of a job; with them nothing calls home and nothing must be compiled."""
_ENDING_SECONDS = 20.0
_PATIENCE_SECONDS = 5.0
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_BAR = re.compile(r"\d+%\|")


def interpreter() -> str:
    """The Python of the device environment, which only this process's own environment may name.

    Raises DeviceSetupError where there is none.
    """
    chosen = os.environ.get(PYTHON_VARIABLE) or sys.executable
    found = shutil.which(os.path.expanduser(chosen))
    if found is None:
        raise DeviceSetupError(
            f"${PYTHON_VARIABLE}: {chosen} is no interpreter; `rzero doctor` says how to make one"
        )
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
    with the variables of `environment` besides this process's own. Its messages arrive in `messages`; its
    output goes, line by line, to the log of the stage that started it.
    """

    def __init__(
        self,
        name: str,
        entry: str,
        spec: Mapping[str, Any],
        python: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.messages: queue.Queue[Message] = queue.Queue()
        self.tail: deque[str] = deque(maxlen=60)
        self.heard()
        self.id = uuid.uuid4().hex
        """In the environment of each of its processes."""
        self._log = run_log("rzero.device")
        self._scratch = ScratchFolder("job")
        self.folder = self._scratch.path
        """Removed when the job is closed or killed."""
        job_file = self.folder / "job.json"
        job_file.write_text(json.dumps({"entry": entry, "spec": spec}, indent=1))
        packages = self.folder / "packages"
        packages.mkdir()
        for package in PACKAGES:
            (packages / package.name).symlink_to(package)
        path = [str(packages), *filter(None, [(environment or {}).get("PYTHONPATH")])]
        read_end, write_end = os.pipe()
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONHOME"}
        self._process = subprocess.Popen(
            [python, "-m", "infra.jobs.child", str(job_file)],
            cwd=self.folder,
            env=inherited
            | QUIET
            | dict(environment or {})
            | {JOB_VARIABLE: self.id, FD_VARIABLE: str(write_end), "PYTHONPATH": os.pathsep.join(path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(write_end,),
            start_new_session=True,
        )
        os.close(write_end)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self._requests = self._process.stdin
        self._threads = [
            threading.Thread(target=self._read_log, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_messages, args=(os.fdopen(read_end, "rb"),), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        threading.Thread(target=self._watch, daemon=True).start()

    def is_running(self) -> bool:
        """Whether the job's process is alive."""
        return self._process.poll() is None

    def silent_seconds(self) -> float:
        """The time since its last message or line of log."""
        return time.monotonic() - self._heard

    def heard(self) -> None:
        """Start to count its silence from now."""
        self._heard = time.monotonic()

    def ask(self, **values: Any) -> None:
        """Send a request; DeviceCrash where the process is gone."""
        try:
            self._request("request", values)
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
        return DeviceHang(f"{self.name}: {doing} took more than {timeout_seconds:g} s{self._last_line()}")

    def error_of(self, message: Message) -> DeviceError:
        """The error that a 'failed' or 'ended' message stands for."""
        text = str(message.values.get("message", ""))
        if message.values.get("problem") == "setup":
            return DeviceSetupError(f"{self.name}: {text}")
        code = None if message.kind == "failed" else self._process.wait()
        # An engine's own message says little; its log says why it died.
        for line in (text, *reversed(self.tail)):
            if is_memory(line):
                return DeviceOutOfMemory(f"{self.name}: not enough memory ({line.strip()[:300]})")
        if code is None:
            return DeviceCrash(f"{self.name}: {text}")
        if code == -9:
            return DeviceOutOfMemory(f"{self.name}: killed (signal 9), most likely for the machine's memory")
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return DeviceCrash(f"{self.name}: the process ended with {how}{self._last_line()}")

    def close(self) -> None:
        """Let the job finish its work, then end all of its processes; the device is free afterwards."""
        with contextlib.suppress(OSError, ValueError):
            self._request("close", {})
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDING_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End all of its processes now."""
        # Asked to end, engines release their shared memory, which nobody else would.
        end_processes(self.id, _PATIENCE_SECONDS)
        with contextlib.suppress(OSError):
            self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._requests.close()
        for thread in self._threads:
            thread.join(timeout=5.0)
        self._scratch.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.kill()

    def _request(self, kind: str, values: Mapping[str, Any]) -> None:
        self._requests.write(json.dumps({"kind": kind, **values}).encode() + b"\n")
        self._requests.flush()

    def _last_line(self) -> str:
        return f"; its last line: {self.tail[-1]}" if self.tail else ""

    def _read_log(self, stream: IO[bytes]) -> None:
        with stream:
            for raw in stream:
                self.heard()
                line = _ESCAPES.sub("", raw.decode(errors="replace")).split("\r")[-1].rstrip()
                if line and not _BAR.search(line):
                    self.tail.append(line)
                    self._log.info(f"{self.name}: {line}")

    def _read_messages(self, stream: IO[bytes]) -> None:
        with stream:
            for raw in stream:
                self.heard()
                values = json.loads(raw)
                self.messages.put(Message(values.pop("kind"), values))

    def _watch(self) -> None:
        self._process.wait()
        # Its children may hold the pipes open; its own words have been read by then.
        for thread in self._threads:
            thread.join(timeout=2.0)
        self.messages.put(Message("ended"))


class JobGroup(list[DeviceJob]):
    """Running jobs that serve together; empty once they are ended."""

    @contextlib.contextmanager
    def ended_on_error(self) -> Iterator[None]:
        """Within it an error ends the jobs: an engine that failed once is not trusted with more work."""
        try:
            yield
        except BaseException:
            self.kill()
            raise

    def close(self) -> None:
        """Let them finish what they do, then end them; their devices are free afterwards."""
        with contextlib.ExitStack() as stack:
            while self:
                stack.callback(self.pop().close)

    def kill(self) -> None:
        """End them now."""
        while self:
            self.pop().kill()
