"""A lease: who works on something now, so that another does not do the same work at the same time.

A lease is a folder of numbered files. The highest number is the lease; its file says who holds it and
until when. Taking it over is the conditional create of the next number, which has exactly one winner on
every store, and renewing it is the holder's rewriting of its own file, so no compare-and-set is needed.

What it guarantees, and what not:

- Of several that try to take a free or expired lease, exactly one gets it.
- A holder that is killed stops renewing; its lease expires after its time to live and is taken over. On
  the machine of the killed holder that is at once, since there its process can be seen to be gone.
- Expiry compares the clocks of two machines. `SKEW_SECONDS` of difference are allowed for. With more, the
  lease may be taken from a living holder (fast clock) or be waited for too long; someone who waits takes
  over in any case once the holder has not renewed for a time to live on the waiter's own clock.
- A holder that is stopped (a paused machine, a store out of reach) for longer than its time to live may
  wake up and go on beside its successor. `Lease.is_lost` says so soon after; nothing can say so at once.

So two can do the same work, rarely. Nothing becomes wrong by that: which artifact exists is decided by the
conditional create of its manifest alone. A lease saves time, it does not protect data.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from infra.store.store import Store, StoreError

TTL_SECONDS = 60.0
SKEW_SECONDS = 5.0
POLL_SECONDS = 2.0

T = TypeVar("T")
Clock = Callable[[], float]
log = logging.getLogger("rzero.store")


@dataclass(frozen=True)
class Holding:
    """What a lease's file says."""

    number: int
    holder: str
    expires_at: float
    ttl_seconds: float
    process: dict[str, Any]
    nonce: str

    def is_over(self, now: float) -> bool:
        """Whether it may be taken over."""
        return now > self.expires_at + SKEW_SECONDS or _is_gone(self.process)

    def to_json(self) -> bytes:
        """The content of the file."""
        return json.dumps({name: value for name, value in vars(self).items() if name != "number"}).encode()


class Lease:
    """A lease that is held; `renew` is called by the heartbeat."""

    def __init__(self, store: Store, path: str, holding: Holding, clock: Clock) -> None:
        self._store = store
        self._path = path
        self._holding = holding
        self._clock = clock
        self._lost = threading.Event()

    @property
    def number(self) -> int:
        """Grows with each holder."""
        return self._holding.number

    @property
    def is_lost(self) -> bool:
        """Whether another was seen to hold it, or it could not be renewed in time."""
        return self._lost.is_set()

    def renew(self) -> bool:
        """Hold it for another time to live; False, for good, where it is lost."""
        if self.is_lost:
            return False
        now = self._clock()
        renewed = _with_expiry(self._holding, now + self._holding.ttl_seconds)
        try:
            newest = _newest(self._store, self._path)
            if newest is not None and newest.number == self.number:
                self._store.put(_file(self._path, self.number), renewed.to_json())
                self._holding = renewed
                return True
            reason = "it is gone" if newest is None else f"{newest.holder} has it"
        except StoreError as error:
            if now <= self._holding.expires_at:
                log.warning("lease %s was not renewed this time: %s", self._path, error)
                return True
            reason = str(error)
        self._lost.set()
        log.warning("lease %s is lost: %s", self._path, reason)
        return False

    def release(self) -> None:
        """Let the next one have it at once; where the store does not answer, it expires."""
        if self.is_lost:
            return
        with suppress(StoreError):
            free = _with_expiry(self._holding, 0.0)
            self._store.put(_file(self._path, self.number), free.to_json())
        self._lost.set()

    def discard(self) -> None:
        """Leave nothing of it: what it was for is there, and who gets the next one sees that first."""
        if self.is_lost:
            return
        with suppress(StoreError):
            self._store.remove(_file(self._path, self.number))
            if not self._store.names(self._path):
                self._store.remove(self._path)
        self._lost.set()


def acquire(
    store: Store, path: str, holder: str, ttl_seconds: float = TTL_SECONDS, clock: Clock = time.time
) -> Lease | None:
    """Take the lease at `path` (a folder within the store); None where another holds it."""
    newest = _newest(store, path)
    if newest is not None and not newest.is_over(clock()):
        return None
    return _take(store, path, newest, holder, ttl_seconds, clock)


@contextmanager
def lease_or_result(
    store: Store,
    path: str,
    holder: str,
    result: Callable[[], T | None],
    ttl_seconds: float = TTL_SECONDS,
    clock: Clock = time.time,
    wait: Callable[[float], object] = time.sleep,
) -> Iterator[T | Lease]:
    """What the work under a lease has made, by whomever; or the lease, kept alive, to make it.

    Waits while another holds the lease, looking for the result in between. With the lease in hand it looks
    once more, so that work that was finished in that moment is not done again.
    """
    unchanged: tuple[Holding | None, float] = (None, clock())
    while True:
        found = result()
        if found is not None:
            yield found
            return
        newest = _newest(store, path)
        if newest is None or newest.is_over(clock()):
            lease = _take(store, path, newest, holder, ttl_seconds, clock)
        elif newest != unchanged[0]:
            unchanged, lease = (newest, clock()), None
            log.info("waiting for %s, which works on %s", newest.holder, path)
        elif clock() - unchanged[1] > newest.ttl_seconds + SKEW_SECONDS:
            lease = _take(store, path, newest, holder, ttl_seconds, clock)
        else:
            lease = None
        if lease is not None:
            break
        wait(POLL_SECONDS)
    try:
        found = result()
        if found is not None:
            yield found
        else:
            with heartbeat(lease, ttl_seconds / 3):
                yield lease
    except BaseException:
        lease.release()
        raise
    lease.discard()


@contextmanager
def heartbeat(lease: Lease, every_seconds: float) -> Iterator[None]:
    """Renew the lease in the background until the block ends or it is lost."""
    stopped = threading.Event()

    def beat() -> None:
        while not stopped.wait(every_seconds):
            if not lease.renew():
                return

    thread = threading.Thread(target=beat, name="rzero-lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def holder_name(what: str) -> str:
    """A name for a person to read: what, on which machine, in which process."""
    return f"{what} on {socket.gethostname()}, process {os.getpid()}"


def holder_of(store: Store, path: str, clock: Clock = time.time) -> str | None:
    """Who holds the lease at `path` now; None where nobody does, or no more."""
    newest = _newest(store, path)
    return None if newest is None or newest.is_over(clock()) else newest.holder


def _take(
    store: Store, path: str, before: Holding | None, holder: str, ttl_seconds: float, clock: Clock
) -> Lease | None:
    """Create the next number; None where another was quicker."""
    holding = Holding(
        number=1 if before is None else before.number + 1,
        holder=holder,
        expires_at=clock() + ttl_seconds,
        ttl_seconds=ttl_seconds,
        process=_this_process(),
        nonce=uuid.uuid4().hex,
    )
    if not store.create(_file(path, holding.number), holding.to_json()):
        return None
    for name in store.names(path):
        if (number := _number(name)) is not None and number < holding.number:
            store.remove(f"{path}/{name}")
    return Lease(store, path, holding, clock)


def _newest(store: Store, path: str) -> Holding | None:
    """The lease's present file; one that cannot be read counts as expired."""
    numbers = [number for name in store.names(path) if (number := _number(name)) is not None]
    if not numbers:
        return None
    number = max(numbers)
    content = store.get(_file(path, number))
    try:
        found = json.loads(content or b"")
        return Holding(
            number=number,
            holder=str(found["holder"]),
            expires_at=float(found["expires_at"]),
            ttl_seconds=float(found["ttl_seconds"]),
            process=dict(found["process"]),
            nonce=str(found["nonce"]),
        )
    except (ValueError, KeyError, TypeError):
        return Holding(number, "an unknown holder", 0.0, 0.0, {}, "")


def _with_expiry(holding: Holding, expires_at: float) -> Holding:
    return Holding(**(vars(holding) | {"expires_at": expires_at}))


def _file(path: str, number: int) -> str:
    return f"{path}/{number:08d}.json"


def _number(name: str) -> int | None:
    stem = name.removesuffix(".json")
    return int(stem) if stem.isdecimal() and stem != name else None


def _this_process() -> dict[str, Any]:
    """What tells this process from any other, on Linux; {} elsewhere."""
    started, machine = _start_time(os.getpid()), _machine()
    return {} if not started or not machine else {"machine": machine, "pid": os.getpid(), "started": started}


def _is_gone(process: dict[str, Any]) -> bool:
    """Whether it ran on this machine and runs no more; False where that cannot be told."""
    if not process or process.get("machine") != _machine():
        return False
    return _start_time(process.get("pid")) != process.get("started")


def _machine() -> str:
    """This boot of this machine and its space of process ids; '' where there is no telling."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _start_time(pid: Any) -> str | None:
    """When a process was started, in ticks since the boot; None where it does not run (or is a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]
