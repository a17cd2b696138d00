"""What is being worked on now, and how far it is: from leases, checkpoints and shards in the store."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from flows.text import duration
from infra.artifacts.artifact import newest_generation
from infra.artifacts.checkpoints import StoreCheckpoints
from infra.artifacts.parts import finished_parts
from infra.store.lease import LeaseRecord, held
from infra.store.store import Store
from infra.words import plural
from tasks.stage.walk import Step
from tasks.stage.work import LEASES

_UNIT = re.compile(r"[a-z]{1,20}")


@dataclass(frozen=True)
class Now:
    """Who works on a step, `holders`, and how far it is; `total` is None where the store does not tell.

    `seconds` since the work was taken up, `seconds_left` at its pace so far; None where nobody works.
    """

    holders: tuple[str, ...] = ()
    done: int = 0
    total: int | None = None
    unit: str = ""
    seconds: float | None = None
    seconds_left: float | None = None

    @property
    def so_far(self) -> str:
        """What is done of it: `3 of 8 shards`, `1 step`; empty where nothing is known."""
        if self.total is not None:
            return f"{self.done} of {plural(self.total, self.unit.removesuffix('s'))}"
        return plural(self.done, self.unit.removesuffix("s")) if self.done else ""

    def __str__(self) -> str:
        left = "" if self.seconds_left is None else f"about {duration(self.seconds_left)} left"
        return ", ".join(part for part in (self.so_far, left) if part)


def look(store: Store, step: Step, clock: Callable[[], float] = time.time) -> Now | None:
    """How far an unfinished step is; None where it is finished or nobody has begun it."""
    if step.ref is not None or step.location is None:
        return None
    location, _ = newest_generation(store, step.location)
    folder, now = f"{location.work}/{LEASES}", clock()
    records = [held(store, f"{folder}/{name}", clock) for name in sorted(store.names(folder))]
    alive = [record for record in records if record is not None]
    kept = _kept(StoreCheckpoints(store, location).newest_step(), finished_parts(store, location))
    if not alive:
        return kept
    told = max((_told(record, now) for record in alive), key=lambda each: (each.total or 0, each.done))
    # A note is as old as the lease's last renewal; a shard or a checkpoint may have come since.
    if kept is not None and kept.done > told.done:
        told = Now(done=kept.done, total=told.total, unit=told.unit or kept.unit)
    holders = tuple(dict.fromkeys(record.holder for record in alive))
    since = now - min(record.taken_at for record in alive)
    return Now(holders, told.done, told.total, told.unit, max(0.0, since), told.seconds_left)


def _kept(checkpoint: int | None, parts: int) -> Now | None:
    if checkpoint:
        return Now(done=checkpoint, unit="steps")
    return Now(done=parts, unit="shards") if parts else None


def _told(record: LeaseRecord, now: float) -> Now:
    """What a holder noted; nothing where the note is not one."""
    done, total, left = (record.note.get(name) for name in ("done", "total", "seconds_left"))
    unit = str(record.note.get("unit"))
    if not isinstance(done, int) or not isinstance(total, int) or total <= 0 or not _UNIT.fullmatch(unit):
        return Now()
    if isinstance(left, int | float):
        left = max(0.0, left - (now - (record.expires_at - record.ttl_seconds)))
    return Now(done=done, total=total, unit=unit, seconds_left=left if isinstance(left, float) else None)
