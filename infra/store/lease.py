"""A lease says who is working on something, so that nobody else does the same work at the same time.

A lease is a folder of numbered files. The highest number is current; its file says who holds the lease and
until when. Taking over means creating the next number, which has exactly one winner on every store. These
files are never changed: a holder renews by writing a file of its own beside its number's. So nobody ever
overwrites what another holder wrote, however late.

    <path>/00000002.json                the holder, its process, when it expires
    <path>/00000002-<nonce>.renewed     when it expires since it was renewed last

What it guarantees, and what it does not:

- Of several processes that try to take a free or expired lease, exactly one gets it.
- A killed holder stops renewing, and its lease is taken over once it expires. On the machine of the killed
  holder that happens at once, because its process is visibly gone.
- Expiry compares the clocks of two machines and tolerates `SKEW_SECONDS` of difference. With more, the
  lease may be taken from a living holder (fast clock) or be waited for too long (slow clock). A waiter
  always takes over once the holder has not renewed for a time to live on the waiter's own clock.
- A holder that is suspended for longer than its time to live (a paused machine, an unreachable store) may
  wake up and carry on beside its successor. `Lease.check` then raises, so it does not commit; a holder that
  is suspended between that check and its commit may still do so.

So the same work may, rarely, be done twice. A lease saves time; what keeps the data whole is that no two
writers share a path, and that the claim decides between them (`infra.artifacts.claim`).
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from infra.store.store import Store, StoreError, StoreUnavailable

TTL_SECONDS = 60.0
SKEW_SECONDS = 5.0
POLL_SECONDS = 2.0

_RENEWED = ".renewed"
_NAME = re.compile(rf"(\d{{8,}})(?:\.json|-[0-9a-f]+{re.escape(_RENEWED)})")

T = TypeVar("T")
Clock = Callable[[], float]
log = logging.getLogger("rzero.store")


@dataclass(frozen=True)
class LeaseRecord:
    """The content of a lease's file, and what its holder noted at its last renewal."""

    number: int
    holder: str
    expires_at: float
    ttl_seconds: float
    process: dict[str, Any]
    nonce: str
    taken_at: float = 0.0
    note: dict[str, Any] = field(default_factory=dict)

    def is_over(self, now: float) -> bool:
        """Whether the lease may be taken over."""
        return now > self.expires_at + SKEW_SECONDS or _is_gone(self.process)

    def to_json(self) -> bytes:
        """As the file holds it; its name holds the number, a renewal the note."""
        kept = ("holder", "expires_at", "ttl_seconds", "process", "nonce")
        return json.dumps({name: getattr(self, name) for name in kept}).encode()


class LeaseLost(StoreUnavailable):
    """Somebody else has taken the work over. Another try waits for what the other makes."""


class Lease:
    """A lease that is held; `renew` is called by the heartbeat."""

    def __init__(self, store: Store, path: str, record: LeaseRecord, clock: Clock) -> None:
        self._store = store
        self._path = path
        self._record = record
        self._clock = clock
        self._lost = threading.Event()
        self.note: dict[str, Any] = {}
        """What others may read of the work's progress; it is written with the next renewal."""

    @property
    def number(self) -> int:
        """Grows with every holder."""
        return self._record.number

    @property
    def is_lost(self) -> bool:
        """Whether somebody else was seen to hold it, or it could not be renewed in time."""
        return self._lost.is_set()

    def renew(self) -> bool:
        """Hold it for another time to live; False, for good, once it is lost."""
        if self.is_lost:
            return False
        now = self._clock()
        try:
            newest = _newest(self._store, self._path)
            if newest is not None and newest.nonce == self._record.nonce:
                self._write_expiry(now + self._record.ttl_seconds)
                return True
            reason = "it is gone" if newest is None else f"{newest.holder} has it"
        except StoreError as error:
            if now <= self._record.expires_at:
                log.warning("lease %s was not renewed this time: %s", self._path, error)
                return True
            reason = str(error)
        self._lost.set()
        log.warning("lease %s is lost: %s", self._path, reason)
        return False

    def check(self) -> None:
        """LeaseLost unless it is still held, asked of the store."""
        if not self.renew():
            raise LeaseLost(
                f"{self._store.uri_of(self._path)}: somebody else has taken this work over meanwhile"
            )

    def release(self) -> None:
        """Free it at once; if the store does not answer, it expires by itself."""
        if not self.is_lost:
            with suppress(StoreError):
                self._write_expiry(0.0)
            self._lost.set()

    def discard(self) -> None:
        """Remove it without a trace: its work is done, and whoever comes next looks for the result first."""
        if not self.is_lost:
            with suppress(StoreError):
                newest = _newest(self._store, self._path)
                if newest is not None and newest.nonce == self._record.nonce:
                    self._store.remove(_file(self._path, self.number))
                self._store.remove(_renewal(self._path, self._record))
                if not self._store.names(self._path):
                    self._store.remove(self._path)
            self._lost.set()

    def _write_expiry(self, expires_at: float) -> None:
        content = json.dumps({"expires_at": expires_at, "note": self.note}).encode()
        self._store.put(_renewal(self._path, self._record), content)
        self._record = replace(self._record, expires_at=expires_at)


def acquire(
    store: Store,
    path: str,
    holder: str,
    ttl_seconds: float = TTL_SECONDS,
    clock: Clock = time.time,
    process: Mapping[str, Any] | None = None,
) -> Lease | None:
    """Take the lease at `path` (a folder within the store); None if somebody else holds it.

    `process` is what the lease records of its holder's process, by default of this one.
    """
    newest = _newest(store, path)
    if newest is not None and not newest.is_over(clock()):
        return None
    return _take(store, path, newest, holder, ttl_seconds, clock, process)


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
    """The result, whoever made it; or the lease, kept alive, under which to make it.

    Waits while somebody else holds the lease, looking for the result in between. With the lease in hand it
    looks once more, so work that was finished at that moment is not done again.
    """
    seen: LeaseRecord | None = None
    since, told = clock(), ""
    while True:
        if (made := result()) is not None:
            yield made
            return
        newest, now = _newest(store, path), clock()
        if newest != seen:
            seen, since = newest, now
        if newest is None or newest.is_over(now) or now - since > newest.ttl_seconds + SKEW_SECONDS:
            lease = _take(store, path, newest, holder, ttl_seconds, clock)
            if lease is not None:
                break
        elif told != newest.nonce:
            told = newest.nonce
            log.info("waits for %s, which does the same work", newest.holder)
        wait(POLL_SECONDS)
    try:
        if (made := result()) is not None:
            yield made
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
    """The holder in words: what it does, on which machine, in which process."""
    return f"{what} on {socket.gethostname()}, process {os.getpid()}"


def held(store: Store, path: str, clock: Clock = time.time) -> LeaseRecord | None:
    """The record of who holds the lease at `path` now; None if nobody does."""
    newest = _newest(store, path)
    return None if newest is None or newest.is_over(clock()) else newest


def holder_of(store: Store, path: str, clock: Clock = time.time) -> str | None:
    """Who holds the lease at `path` now; None if nobody does."""
    record = held(store, path, clock)
    return None if record is None else record.holder


def _take(
    store: Store,
    path: str,
    before: LeaseRecord | None,
    holder: str,
    ttl_seconds: float,
    clock: Clock,
    process: Mapping[str, Any] | None = None,
) -> Lease | None:
    """Create the next number; None if somebody else was quicker."""
    record = LeaseRecord(
        number=1 if before is None else before.number + 1,
        holder=holder,
        expires_at=clock() + ttl_seconds,
        ttl_seconds=ttl_seconds,
        process=this_process() if process is None else dict(process),
        nonce=uuid.uuid4().hex,
    )
    if not store.create(_file(path, record.number), record.to_json()):
        return None
    for name in store.names(path):
        if (number := _number(name)) is not None and number < record.number:
            store.remove(f"{path}/{name}")
    return Lease(store, path, record, clock)


def _newest(store: Store, path: str) -> LeaseRecord | None:
    """The lease's current record; one that cannot be read counts as expired."""
    names = store.names(path)
    numbers = [number for name in names if name.endswith(".json") and (number := _number(name)) is not None]
    if not numbers:
        return None
    number = max(numbers)
    try:
        fields = json.loads(store.get(_file(path, number)) or b"")
        record = LeaseRecord(
            number=number,
            holder=str(fields["holder"]),
            expires_at=float(fields["expires_at"]),
            ttl_seconds=float(fields["ttl_seconds"]),
            process=dict(fields["process"]),
            nonce=str(fields["nonce"]),
            taken_at=float(fields["expires_at"]) - float(fields["ttl_seconds"]),
        )
        renewal = _renewal(path, record)
        if renewal.rpartition("/")[2] in names:
            # It may be gone just now: then so is its holder.
            renewed = json.loads(store.get(renewal) or b'{"expires_at": 0}')
            record = replace(
                record, expires_at=float(renewed["expires_at"]), note=dict(renewed.get("note", {}))
            )
    except (ValueError, KeyError, TypeError):
        return LeaseRecord(number, "an unknown holder", 0.0, 0.0, {}, "")
    return record


def _file(path: str, number: int) -> str:
    return f"{path}/{number:08d}.json"


def _renewal(path: str, record: LeaseRecord) -> str:
    return f"{path}/{record.number:08d}-{record.nonce}{_RENEWED}"


def _number(name: str) -> int | None:
    """The number of the holder that a file belongs to."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def this_process() -> dict[str, Any]:
    """What distinguishes this process from all others, on Linux; {} elsewhere."""
    started, machine = _start_time(os.getpid()), _machine()
    return {} if not started or not machine else {"machine": machine, "pid": os.getpid(), "started": started}


def _is_gone(process: dict[str, Any]) -> bool:
    """Whether it ran on this machine and no longer does; False if that cannot be told."""
    if not process or process.get("machine") != _machine():
        return False
    started = _start_time(process.get("pid"))
    # Another user's process may be hidden (hidepid): a signal still tells whether there is one.
    return started != process.get("started") and (started is not None or not _exists(process.get("pid")))


def _exists(pid: Any) -> bool:
    """Whether there is a living process of this number that this user may not look at."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, TypeError, ValueError, OverflowError):
        return False
    return False


def _machine() -> str:
    """This boot of this machine and its process id namespace; '' if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _start_time(pid: Any) -> str | None:
    """When a process was started, in ticks since the boot; None if it is not running (or a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]
