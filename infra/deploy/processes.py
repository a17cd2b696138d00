"""Processes that outlive the command that started them, by name, with their ids and logs in one folder."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_POLL_SECONDS = 0.25
_KILL_SECONDS = 10.0


class NotReady(Exception):
    """A process ended, or was not ready in time; the message has the end of its log."""


class Processes:
    """The processes of a folder: `<folder>/processes.json`, `<folder>/<name>.log`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / "processes.json"

    def is_running(self, name: str) -> bool:
        """Whether the process of this name runs; a later process with the same id is not mistaken for it."""
        known = self._known().get(name)
        return known is not None and bool(_living({known["pid"]: known["started"]}))

    def log(self, name: str) -> Path:
        """The file with the output of the process."""
        return self.folder / f"{name}.log"

    def detail(self, name: str, key: str) -> Any:
        """A detail that was given to `start`; None where there is none."""
        return self._known().get(name, {}).get(key)

    def start(
        self, name: str, command: Sequence[str], cwd: Path, env: Mapping[str, str], **details: Any
    ) -> None:
        """Start it in its own session."""
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        entry = {"pid": process.pid, "started": _started(process.pid), **details}
        self._save(self._known() | {name: entry})

    def wait_until(self, name: str, is_ready: Callable[[], bool], timeout_seconds: float) -> None:
        """Wait until it is ready; NotReady where it ends before, or is not ready in time."""
        deadline = time.monotonic() + timeout_seconds
        while not is_ready():
            if not self.is_running(name):
                raise NotReady(f"the {name} ended at once; {self._last_lines(name)}")
            if time.monotonic() > deadline:
                raise NotReady(
                    f"the {name} was not ready after {timeout_seconds:.0f} s; {self._last_lines(name)}"
                )
            time.sleep(_POLL_SECONDS)

    def stop(self, name: str, timeout_seconds: float = 30.0) -> bool:
        """End it and what it has started; False where it did not run."""
        running = self.is_running(name)
        known = self._known()
        entry = known.pop(name, None)
        if running and entry is not None:
            begun = with_descendants(entry["pid"])
            os.kill(entry["pid"], signal.SIGTERM)
            _wait_for_end({entry["pid"]: entry["started"]}, timeout_seconds)
            kill_and_wait(begun)
        self._save(known)
        return running

    def _last_lines(self, name: str) -> str:
        path = self.log(name)
        lines = path.read_text(errors="replace").split("\n") if path.exists() else []
        return "\n".join([f"the end of {path}:", *(line for line in lines[-15:] if line.strip())])

    def _known(self) -> dict[str, dict[str, Any]]:
        try:
            found = json.loads(self._file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return found if isinstance(found, dict) else {}

    def _save(self, known: Mapping[str, Any]) -> None:
        scratch = self._file.with_suffix(".new")
        scratch.write_text(json.dumps(known, indent=1))
        scratch.replace(self._file)


def with_descendants(pid: int) -> dict[int, str | None]:
    """A process and all that it has started, in whatever session, each with the time of its start."""
    shown = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = (line.split() for line in shown.stdout.splitlines())
    parents = {int(child): int(parent) for child, parent in pairs}
    found = [pid]
    for parent in found:
        found += [child for child, of in parents.items() if of == parent]
    return {each: _started(each) for each in found}


def kill_and_wait(processes: Mapping[int, str | None]) -> None:
    """kill -9 those that still run and wait until they are gone."""
    left = _living(processes)
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _wait_for_end(left, _KILL_SECONDS)


def _wait_for_end(processes: Mapping[int, str | None], timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while _living(processes) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _living(processes: Mapping[int, str | None]) -> dict[int, str | None]:
    """Those that still run; a later process with the same id does not count.

    One that ended before the time of its start could be read has None for it.
    """
    return {
        pid: started for pid, started in processes.items() if started is not None and _started(pid) == started
    }


def _started(pid: int) -> str | None:
    """When the process was started; None where it does not run. A child that ended is reaped."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # A killed process is a zombie at once, but keeps its ports until the last of its threads has ended.
        return None if fields[0] in ("Z", "X") and int(fields[17]) <= 1 else fields[19]
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True)
    return shown.stdout.strip() or None
