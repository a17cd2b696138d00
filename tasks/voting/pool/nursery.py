"""The process that forks grading workers, and what a worker does. Started by `workers`.

The nursery imports the algebra system once and then forks a ready worker in milliseconds, so a
killed one is replaced at no cost. It has one thread, hence forking is safe, whatever threads the
caller runs. It imports nothing of the caller's main module.

A worker limits itself: address space by RLIMIT_AS, each request by a timer whose signal the kernel
delivers even where Python code never returns. So it dies in time even if nobody is left to kill it.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from typing import Any

HEADER = struct.Struct("!I")
COMMAND = struct.Struct("!ci")
STATUS = struct.Struct("!id")
IDLE_SECONDS = 1.0
GENTLE = "memory"


def send(channel: socket.socket, message: Any) -> None:
    """Send one message as JSON behind its length."""
    body = json.dumps(message).encode()
    channel.sendall(HEADER.pack(len(body)) + body)


def receive(channel: socket.socket) -> Any:
    """Receive one message; EOFError where the other side is gone."""
    (size,) = HEADER.unpack(_exactly(channel, HEADER.size))
    return json.loads(_exactly(channel, size))


def _exactly(channel: socket.socket, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = channel.recv(size - len(parts))
        if not part:
            raise EOFError("the other side closed the channel")
        parts += part
    return parts


def main(control_number: int, timeout_seconds: float, memory_bytes: int) -> None:
    """Serve fork and kill commands on a socket until it closes or the parent is gone."""
    parent = os.getppid()
    control = socket.socket(fileno=control_number)
    from tasks.voting.pool import algebra

    algebra.warm_up()
    gc.collect()
    gc.freeze()
    children: set[int] = set()
    control.sendall(STATUS.pack(0, 0.0))
    try:
        while _waits(control, parent):
            command, descriptors, _, _ = socket.recv_fds(control, COMMAND.size, 1)
            if len(command) < COMMAND.size:
                break
            verb, number = COMMAND.unpack(command)
            if verb == b"F":
                pid = os.fork()
                if pid == 0:
                    control.close()
                    _work(socket.socket(fileno=descriptors[0]), timeout_seconds, memory_bytes)
                os.close(descriptors[0])
                children.add(pid)
                control.sendall(STATUS.pack(pid, 0.0))
            else:
                control.sendall(STATUS.pack(*(_kill(number) if number in children else (0, 0.0))))
                children.discard(number)
    finally:
        for pid in children:
            _kill(pid)
    os._exit(0)


def _waits(channel: socket.socket, parent: int) -> bool:
    """Wait for input; False once the parent has changed, which means that it has died."""
    while not select.select([channel], [], [], IDLE_SECONDS)[0]:
        if os.getppid() != parent:
            return False
    return True


def _kill(pid: int) -> tuple[int, float]:
    """Kill a child unless it is dead: the signal that it died of (0 for an exit) and its CPU seconds."""
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done == 0:
            os.kill(pid, signal.SIGKILL)
            _, status, usage = os.wait4(pid, 0)
        cause = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        return cause, usage.ru_utime + usage.ru_stime
    return 0, 0.0


def _work(channel: socket.socket, timeout_seconds: float, memory_bytes: int) -> None:
    """Answer requests, one at a time, until the channel closes; never returns."""
    from tasks.voting.pool.algebra import answer_request

    nursery = os.getppid()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    code = 0
    try:
        while _waits(channel, nursery):
            request = receive(channel)
            signal.setitimer(signal.ITIMER_REAL, timeout_seconds)
            try:
                reply = ["done", answer_request(request)]
            except MemoryError:
                reply = [GENTLE, None]
            except Exception as fault:
                # Whatever the algebra system raises on hostile input is its answer: it cannot tell.
                reply = ["fault", f"{type(fault).__name__}: {fault}"[:200]]
            signal.setitimer(signal.ITIMER_REAL, 0)
            send(channel, [*reply, time.process_time()])
    except (EOFError, OSError, MemoryError):
        code = 1
    finally:
        os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
