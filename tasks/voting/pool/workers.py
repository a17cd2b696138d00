"""A pool of killable processes for requests that may never end.

Each request has its own limit of CPU time and of memory. One that exceeds them, or dies of anything
else, costs only itself. What a batch left undecided is tried again alone, with all of its time. The
pool starts at the first request, uses no signals, forks nothing in the caller and imports nothing of
its main module: it works from any thread, in a daemonic process and in an actor.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# The share of the time limit that a request has among others, before it is tried alone.
BATCH_SHARE = 0.25
_ROOT = str(Path(__file__).resolve().parents[3])
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from tasks.voting.pool.server import main; "
    "main(int(sys.argv[2]), int(sys.argv[3]))"
)


class PoolError(RuntimeError):
    """The pool of grading workers could not be started."""


@dataclass(frozen=True)
class Outcome:
    """How a request ended: "done", "fault" (an exception), "timeout", "memory" or "died"."""

    kind: str
    value: Any = None


class WorkerPool:
    """Runs requests in up to `workers` processes; not for use by two threads at once."""

    def __init__(self, timeout_seconds: float, memory_bytes: int, workers: int) -> None:
        self.timeout_seconds = timeout_seconds
        self.memory_bytes = memory_bytes
        self.workers = workers
        self._server: subprocess.Popen[str] | None = None

    @property
    def started(self) -> bool:
        """Whether any process has been started."""
        return self._server is not None

    def run(self, requests: Sequence[Any]) -> list[Outcome]:
        """The outcome of every request, in order; requests and values are JSON."""
        alone = len(requests) == 1
        outcomes = self._batch(requests, self.timeout_seconds * (1.0 if alone else BATCH_SHARE))
        for position, outcome in enumerate(outcomes):
            if outcome.kind == "died" or (outcome.kind == "timeout" and not alone):
                outcomes[position] = self._batch([requests[position]], self.timeout_seconds)[0]
        return outcomes

    def _batch(self, requests: Sequence[Any], cpu_seconds: float) -> list[Outcome]:
        """Outcomes from the server; "died" for those that it took with it."""
        outcomes = [Outcome("died")] * len(requests)
        if self._server is None or self._server.poll() is not None:
            self.close()
            self._server = self._start()
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            self._server.stdin.write(json.dumps([cpu_seconds, list(requests)]) + "\n")
            self._server.stdin.flush()
            for _ in requests:
                position, kind, value = json.loads(self._server.stdout.readline())
                outcomes[position] = Outcome(kind, value)
            return outcomes
        self.close()
        return outcomes

    def close(self) -> None:
        """End all processes; the pool can be used again afterwards."""
        server, self._server = self._server, None
        if server is not None:
            with contextlib.suppress(OSError):
                server.communicate(timeout=5.0)
            server.kill()
            server.wait()

    def _start(self) -> subprocess.Popen[str]:
        # The parent's import path, so that the same packages are found wherever they were found here.
        paths = os.pathsep.join(path for path in sys.path if path)
        with tempfile.TemporaryFile("w+") as log:
            server = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, _ROOT, str(self.memory_bytes), str(self.workers)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
                text=True,
            )
            assert server.stdout is not None
            if server.stdout.readline() != "ready\n":
                server.kill()
                server.communicate()
                log.seek(0)
                message = log.read().strip().splitlines() or ["it ended at once"]
                raise PoolError(f"the grading workers could not be started: {message[-1]}")
        return server

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()
