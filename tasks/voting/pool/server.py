"""The process that values trees, each in a child of its own. Started by `workers`.

It imports the algebra system once and forks a child for each request, in milliseconds. It has one
thread, hence forking is safe, whatever threads the caller runs. A child limits itself: address space
by RLIMIT_AS, CPU time by a timer whose signal the kernel delivers even where Python code never
returns. So a busy machine does not shorten its time, and nobody is needed to end it.
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
from typing import Any

# A child that did not die by itself is killed after this many times its limit, and a second, on the clock.
WALL_FACTOR = 10.0
LARGEST_REPLY = 1 << 15  # A pipe holds that much without a reader.


def main(memory_bytes: int, workers: int) -> None:
    """Answer batches of requests, one a line, until the input ends or the parent is gone."""
    from tasks.voting.pool import algebra

    algebra.warm_up()
    gc.collect()
    gc.freeze()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
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
    parent = os.getppid()
    waiting = deque(enumerate(requests))
    busy: dict[int, tuple[int, int, float]] = {}
    while waiting or busy:
        while waiting and len(busy) < workers:
            position, request = waiting.popleft()
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                _work(request, writer, cpu_seconds, memory_bytes)
            os.close(writer)
            busy[pid] = (position, reader, time.monotonic() + WALL_FACTOR * cpu_seconds + 1.0)
        signal.sigtimedwait({signal.SIGCHLD}, 0.5)
        for pid, (position, reader, deadline) in list(busy.items()):
            late = time.monotonic() > deadline or os.getppid() != parent
            if late:
                os.kill(pid, signal.SIGKILL)
            ended, status = os.waitpid(pid, 0 if late else os.WNOHANG)
            if ended:
                del busy[pid]
                with os.fdopen(reader, "rb") as pipe:
                    reply = pipe.read()
                if os.WIFSIGNALED(status):
                    out_of_time = late or os.WTERMSIG(status) == signal.SIGPROF
                    yield position, "timeout" if out_of_time else "died", None
                else:
                    yield (position, *json.loads(reply)) if reply else (position, "died", None)


def _work(request: Any, writer: int, cpu_seconds: float, memory_bytes: int) -> None:
    """Write the reply to one request, in a child; never returns."""
    from tasks.voting.pool.algebra import answer_request

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
    try:
        reply = json.dumps(["done", answer_request(request)])
    except MemoryError:
        reply = '["memory", null]'
    except Exception:
        # Whatever the algebra system raises on hostile input is its answer: it cannot tell.
        reply = '["done", null]'
    if len(reply) > LARGEST_REPLY:
        reply = '["done", null]'
    try:
        os.write(writer, reply.encode())
    finally:
        os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
