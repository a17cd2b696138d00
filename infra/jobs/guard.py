"""Ends what a command has started, however the command itself ends.

`python -m infra.jobs.guard ID` is a process of its own. It notices the end of the command at a pipe that only
the command holds, even where that was killed with no time for a last word.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from infra.jobs.reap import JOB_VARIABLE, end_processes

_PATIENCE_SECONDS = 5.0
_ROOT = str(Path(__file__).resolve().parents[2])
_guards: list[subprocess.Popen[bytes]] = []


@contextlib.contextmanager
def ended_with_this_process() -> Iterator[None]:
    """What is started within, and does not end before, ends with this process."""
    before, name = os.environ.get(JOB_VARIABLE), uuid.uuid4().hex
    # The working folder may have an `infra` of its own.
    guard = [sys.executable, "-P", "-m", "infra.jobs.guard", name]
    environment = os.environ | {"PYTHONPATH": _ROOT}
    # Its own session: an interrupt from the terminal is not meant for it.
    _guards.append(subprocess.Popen(guard, env=environment, stdin=subprocess.PIPE, start_new_session=True))
    os.environ[JOB_VARIABLE] = name
    try:
        yield
    finally:
        del os.environ[JOB_VARIABLE]
        if before is not None:
            os.environ[JOB_VARIABLE] = before


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end_processes(sys.argv[1], _PATIENCE_SECONDS)
