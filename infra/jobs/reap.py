"""Ends every process of a job and no other; no process is chosen by its name.

A job's processes carry its id in their environment, however deep they are nested and whatever session
they put themselves in (Ray and vLLM start such). Standard library only: both sides use it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

JOB_VARIABLE = "RZERO_JOB"
FD_VARIABLE = "RZERO_JOB_FD"
_PROC = Path("/proc")
_SEGMENTS = ("/dev/shm/psm_", "/dev/shm/vllm_dist_")
"""Python's, and what the ranks of an engine of vLLM share on a CPU."""
_KILL_SECONDS = 5.0
_LOOK_EVERY_SECONDS = 0.1


def processes_of(job_id: str) -> list[int]:
    """The living processes with the job's id, except this one; empty where there is no /proc."""
    mark = f"{JOB_VARIABLE}={job_id}".encode()
    found = []
    for entry in _PROC.glob("[0-9]*"):
        pid = int(entry.name)
        if pid == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0") and not _is_zombie(entry):
                found.append(pid)
    return found


def end_processes(job_id: str, patience_seconds: float) -> None:
    """SIGTERM to all of them, SIGKILL to those left after `patience_seconds`; waits until they are gone.

    Their shared memory is released.
    """
    shared = shared_memory_of(job_id)
    _signal(processes_of(job_id), signal.SIGTERM)
    deadline = time.monotonic() + patience_seconds
    while processes_of(job_id) and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_SECONDS)
    # A process may start another while it is killed: look again until none is left.
    deadline = time.monotonic() + _KILL_SECONDS
    while (left := processes_of(job_id)) and time.monotonic() < deadline:
        _signal(left, signal.SIGKILL)
        time.sleep(_LOOK_EVERY_SECONDS)
    give_back(shared)


def shared_memory_of(job_id: str) -> set[Path]:
    """The named shared memory that the job's processes have mapped, of Python's and of vLLM's names.

    A killed engine leaves its segments behind, and only a restart of the machine would free them.
    """
    found = set()
    for pid in processes_of(job_id):
        with contextlib.suppress(OSError):
            for line in (_PROC / str(pid) / "maps").read_text().splitlines():
                path = line.split(maxsplit=5)[-1]
                if path.startswith(_SEGMENTS):
                    found.add(Path(path))
    return found


def give_back(segments: set[Path]) -> None:
    """Remove segments whose processes are gone."""
    for segment in segments:
        segment.unlink(missing_ok=True)


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _is_zombie(entry: Path) -> bool:
    # The state is the first field after the name, which is in brackets and may hold anything.
    return (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
