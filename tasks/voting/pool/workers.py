"""A pool of killable processes for requests that may never end.

Each request has its own time limit and each worker its own memory limit. A worker that exceeds one
of them, or dies of anything else, costs the request it was at: the others go on, and a new worker
is forked. The pool starts at the first request, uses no signals, forks nothing in the caller and
imports nothing of its main module: it works from any thread, in a daemonic process and in an actor.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tasks.voting.pool.nursery import COMMAND, GENTLE, STATUS, receive, send

START_SECONDS = 120.0
# How long after its limit a worker that did not die by itself is killed.
GRACE_SECONDS = 1.0
# A request that got less than this share of a processor until its time was over is tried once more.
STARVED_SHARE = 0.25
_ROOT = str(Path(__file__).resolve().parents[3])
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from tasks.voting.pool.nursery import main; {}"
_MAIN = "main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))"


class PoolError(RuntimeError):
    """The pool of grading workers could not be started or was lost."""


@dataclass(frozen=True)
class Outcome:
    """How a request ended: "done", "fault" (an exception), "timeout", "memory" or "died"."""

    kind: str
    value: Any = None


@dataclass
class _Worker:
    pid: int
    channel: socket.socket
    task: int = -1
    started: float = 0.0
    cpu_seconds: float = 0.0


class WorkerPool:
    """Runs requests in up to `workers` processes; not for use by two threads at once."""

    def __init__(self, timeout_seconds: float, memory_bytes: int, workers: int) -> None:
        self.timeout_seconds = timeout_seconds
        self.memory_bytes = memory_bytes
        self.workers = workers
        self._idle: list[_Worker] = []
        self._nursery: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._log: IO[bytes] | None = None

    @property
    def started(self) -> bool:
        """Whether any process has been started."""
        return self._nursery is not None

    def run(self, requests: Sequence[Sequence[str]]) -> list[Outcome]:
        """The outcome of every request, in order."""
        if self._nursery is not None and self._nursery.poll() is not None:
            self.close()
        outcomes: list[Outcome | None] = [None] * len(requests)
        waiting = deque(range(len(requests)))
        busy: dict[int, _Worker] = {}
        retried: set[int] = set()
        with selectors.DefaultSelector() as selector:
            try:
                while waiting or busy:
                    while waiting and len(busy) < self.workers:
                        worker = self._give(requests[waiting[0]])
                        worker.task = waiting.popleft()
                        busy[worker.pid] = worker
                        selector.register(worker.channel, selectors.EVENT_READ, worker)
                    now = time.monotonic()
                    limit = self.timeout_seconds + GRACE_SECONDS
                    overdue = min(worker.started for worker in busy.values()) + limit - now
                    ready = [key.data for key, _ in selector.select(max(0.0, overdue))]
                    late = [
                        w for w in busy.values() if w not in ready and time.monotonic() - w.started > limit
                    ]
                    for worker in ready + late:
                        selector.unregister(worker.channel)
                        del busy[worker.pid]
                        outcome = self._collect(worker) if worker in ready else self._kill(worker)
                        if outcome.kind in ("died", "starved") and worker.task not in retried:
                            # Perhaps the system took the worker or was too busy: a second chance.
                            retried.add(worker.task)
                            waiting.append(worker.task)
                        else:
                            starved = outcome.kind == "starved"
                            outcomes[worker.task] = Outcome("timeout") if starved else outcome
            finally:
                for worker in busy.values():
                    self._kill(worker)
        return [outcome for outcome in outcomes if outcome is not None]

    def close(self) -> None:
        """End all processes; the pool can be used again afterwards."""
        for worker in self._idle:
            worker.channel.close()
        self._idle.clear()
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._nursery is not None:
            try:
                self._nursery.wait(timeout=5.0)
            except subprocess.TimeoutExpired:
                self._nursery.kill()
                self._nursery.wait()
            self._nursery = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def _give(self, request: Sequence[str]) -> _Worker:
        """A worker that has been sent the request."""
        while self._idle:
            worker = self._idle.pop()
            try:
                send(worker.channel, list(request))
            except OSError:
                # It died while it was idle: nothing was lost but the worker.
                self._kill(worker)
                continue
            worker.started = time.monotonic()
            return worker
        try:
            worker = self._fork()
        except (OSError, EOFError, PoolError):
            # The nursery itself may have been killed: once, start another.
            self.close()
            worker = self._fork()
        send(worker.channel, list(request))
        worker.started = time.monotonic()
        return worker

    def _collect(self, worker: _Worker) -> Outcome:
        try:
            kind, value, worker.cpu_seconds = receive(worker.channel)
        except (OSError, EOFError, ValueError):
            return self._kill(worker)
        if kind == GENTLE:
            # What is left of its memory is not worth keeping.
            self._kill(worker)
        else:
            self._idle.append(worker)
        return Outcome(kind, value)

    def _kill(self, worker: _Worker) -> Outcome:
        """End a worker and say what it had died of."""
        worker.channel.close()
        late = time.monotonic() - worker.started >= self.timeout_seconds
        try:
            cause, cpu_seconds = self._command(b"K", worker.pid)
        except (OSError, EOFError, PoolError):
            cause, cpu_seconds = 0, 0.0
        if cause != signal.SIGALRM and not (cause == signal.SIGKILL and late):
            return Outcome("died")
        spent = cpu_seconds - worker.cpu_seconds
        return Outcome("starved" if spent < STARVED_SHARE * self.timeout_seconds else "timeout")

    def _fork(self) -> _Worker:
        if self._nursery is None:
            self._start()
        ours, theirs = socket.socketpair()
        try:
            pid, _ = self._command(b"F", 0, theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return _Worker(pid, ours)

    def _command(self, verb: bytes, number: int, passed: socket.socket | None = None) -> tuple[int, float]:
        if self._control is None:
            raise PoolError("the grading workers have been closed")
        message = COMMAND.pack(verb, number)
        if passed is None:
            self._control.sendall(message)
        else:
            socket.send_fds(self._control, [message], [passed.fileno()])
        return self._status()

    def _status(self) -> tuple[int, float]:
        assert self._control is not None
        reply = b""
        while len(reply) < STATUS.size:
            part = self._control.recv(STATUS.size - len(reply))
            if not part:
                raise EOFError("the process that starts grading workers is gone")
            reply += part
        number, seconds = STATUS.unpack(reply)
        return int(number), float(seconds)

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(START_SECONDS)
        log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process writes to it
        # The parent's import path, so that the same packages are found wherever they were found here.
        paths = [path for path in sys.path if path]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
        arguments = [str(theirs.fileno()), str(self.timeout_seconds), str(self.memory_bytes)]
        self._nursery = subprocess.Popen(
            [sys.executable, "-c", _START.format(_MAIN), _ROOT, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            pass_fds=[theirs.fileno()],
            env=environment,
        )
        theirs.close()
        self._control, self._log = ours, log
        try:
            self._status()
        except (OSError, EOFError) as fault:
            log.seek(0)
            message = log.read().decode(errors="replace").strip().splitlines()
            self._nursery.kill()
            self.close()
            detail = message[-1] if message else str(fault)
            raise PoolError(f"the grading workers could not be started: {detail}") from fault

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()
