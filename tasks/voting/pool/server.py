"""The process that answers requests, in children that it forks. Started by `workers`.

It imports the algebra system once and forks a child in milliseconds. It has one thread, hence forking is
safe, whatever threads the caller runs. A child limits itself: address space by RLIMIT_AS, CPU time by a
timer whose signal the kernel delivers even where Python code never returns. So a busy machine does not
shorten its time, and nobody is needed to end it. A child that dies costs the request it was at.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# A child that did not die by itself is killed after this many times its limit, and a second, on the clock.
WALL_FACTOR = 5.0
LARGEST_SHARE = 256

Task = tuple[int, Any]


@dataclass
class _Child:
    pid: int
    tasks: deque[Task]
    deadline: float
    unread: bytes = b""
    late: bool = False


def main(memory_bytes: int, workers: int) -> None:
    """Answer batches of requests, one a line, until the input ends or the parent is gone."""
    from tasks.voting.pool import algebra

    algebra.warm_up()
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    parent = os.getppid()
    while os.getppid() == parent:
        if not select.select([sys.stdin], [], [], 1.0)[0]:
            continue
        line = sys.stdin.readline()
        if not line:
            break
        cpu_seconds, requests = json.loads(line)
        for outcome in _outcomes(requests, cpu_seconds, memory_bytes, workers):
            print(json.dumps(outcome), flush=True)


def _outcomes(
    requests: list[Any], cpu_seconds: float, memory_bytes: int, workers: int
) -> Iterator[tuple[int, str, Any]]:
    """(position, kind, value) of each request, in the order in which they end."""
    waiting: deque[Task] = deque(enumerate(requests))
    share = max(1, min(LARGEST_SHARE, len(requests) // (4 * workers)))
    patience = WALL_FACTOR * cpu_seconds + 1.0
    busy: dict[int, _Child] = {}
    while waiting or busy:
        while waiting and len(busy) < workers:
            tasks = deque(waiting.popleft() for _ in range(min(share, len(waiting))))
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                _work(tasks, writer, cpu_seconds, memory_bytes)
            os.close(writer)
            busy[reader] = _Child(pid, tasks, time.monotonic() + patience)
        for reader in select.select([*busy], [], [], 0.5)[0]:
            child = busy[reader]
            data = os.read(reader, 1 << 16)
            *lines, child.unread = (child.unread + data).split(b"\n")
            for line in lines:
                child.deadline = time.monotonic() + patience
                yield (child.tasks.popleft()[0], *json.loads(line))
            if not data:
                del busy[reader]
                os.close(reader)
                _, status = os.waitpid(child.pid, 0)
                out_of_time = child.late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF)
                if child.tasks and status:
                    yield child.tasks.popleft()[0], "timeout" if out_of_time else "died", None
                waiting.extendleft(reversed(child.tasks))
        for child in busy.values():
            if time.monotonic() > child.deadline and not child.late:
                child.late = True
                os.kill(child.pid, signal.SIGKILL)


def _work(tasks: deque[Task], writer: int, cpu_seconds: float, memory_bytes: int) -> None:
    """Write the replies to some requests, in a child; never returns."""
    from tasks.voting.pool.algebra import answer_request

    os.dup2(2, 1)  # What is printed here is no reply.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    kind = ""
    try:
        for _, request in tasks:
            value = None
            signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
            try:
                kind, value = "done", answer_request(request)
            except MemoryError:
                kind = "memory"
            except Exception:
                # Whatever is raised on hostile input is its answer: it cannot tell.
                kind = "fault"
            signal.setitimer(signal.ITIMER_PROF, 0)
            os.write(writer, json.dumps([kind, value]).encode() + b"\n")
            if kind == "memory":
                break  # What is left of its memory is not worth keeping.
        os._exit(0)
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
