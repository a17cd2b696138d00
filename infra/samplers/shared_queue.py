"""One queue of sequences for all engines of a sampler: an engine gets the next when one of its own is done.

An engine that is lost gives back what it had not finished. A sequence's prompt and seed decide what is
drawn, whichever engine does it.
"""

from __future__ import annotations

import copy
import itertools
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.jobs.errors import DeviceSetupError

Asked = Mapping[str, Any]
"""What an engine needs to draw one sequence."""
Drawn = Mapping[str, Any]
"""What it drew, or why not (`refused`); `number` says of which sequence, `by` perhaps on which engine."""
Hand = Callable[[Sequence[Asked]], None]
"""Gives an engine sequences, each with its `number`; must not wait for the engine."""
_LOOK_EVERY_SECONDS = 1.0


@dataclass(eq=False, slots=True)
class _Batch:
    """The sequences of one call, in groups, and what is drawn of them."""

    drawn: list[list[Drawn]]
    left: int
    tell: Callable[[Asked, Drawn], None] | None = None
    error: Exception | None = None
    is_ended: bool = False


@dataclass(eq=False, slots=True)
class _Sequence:
    batch: _Batch
    group: int
    place: int
    asked: Asked


@dataclass(eq=False, slots=True)
class _Engine:
    name: str
    capacity: int
    hand: Hand
    held: dict[int, _Sequence] = field(default_factory=dict)
    busy_since: float = 0.0


class SharedQueue:
    """Many threads may call `draw` at once; what engines report may come from any thread."""

    def __init__(self) -> None:
        self.drawn_by: Counter[str] = Counter()
        """How many sequences each engine has drawn."""
        self.failure: Exception | None = None
        """Why nothing more will be drawn."""
        self._changed = threading.Condition()
        self._waiting: deque[_Sequence] = deque()
        self._engines: dict[str, _Engine] = {}
        self._numbers = itertools.count()

    def join(self, name: str, capacity: int, hand: Hand) -> None:
        """From now on an engine takes part; it holds at most `capacity` sequences."""
        with self._changed:
            self._engines[name] = _Engine(name, capacity, hand)
            self._feed()

    def draw(self, groups: Sequence[Sequence[Asked]]) -> list[list[Drawn]]:
        """What is drawn for each sequence, once all are.

        The sequences of a group, which have the same prompt, go to one engine where it has room. Raises what
        ended the queue, or DeviceSetupError where an engine refuses a sequence.
        """
        batch = _Batch([[{}] * len(group) for group in groups], sum(map(len, groups)))
        with self._changed:
            self._wait(batch, groups)
            try:
                self._feed()
                while batch.left and not (batch.error or self.failure):
                    # Not for ever: a time limit of the stage reaches this thread between two waits.
                    self._changed.wait(_LOOK_EVERY_SECONDS)
            finally:
                self._end(batch)
            error = batch.error or (self.failure if batch.left else None)
            if error is not None:
                # Other threads raise it too.
                raise copy.copy(error)
        return batch.drawn

    def pass_on(self, groups: Sequence[Sequence[Asked]], tell: Callable[[Asked, Drawn], None]) -> None:
        """As `draw`, without waiting: `tell` is called with each sequence and what becomes of it."""
        with self._changed:
            self._wait(_Batch([], 0, tell), groups)
            self._feed()

    def finished(self, name: str, results: Iterable[Drawn]) -> None:
        """What an engine has drawn. Of one that was lost nothing counts: others draw what it held."""
        with self._changed:
            engine = self._engines.get(name)
            if engine is None:
                return
            for result in results:
                sequence = engine.held.pop(result["number"])
                batch = sequence.batch
                if batch.tell is not None:
                    batch.tell(sequence.asked, {"by": name, **result})
                    continue
                if "refused" in result:
                    batch.error = DeviceSetupError(result["refused"])
                    self._end(batch)
                    self._changed.notify_all()
                    continue
                self.drawn_by[result.get("by", name)] += 1
                batch.drawn[sequence.group][sequence.place] = result
                batch.left -= 1
                if not batch.left:
                    self._changed.notify_all()
            self._feed()

    def holds(self, name: str) -> int:
        """How many sequences an engine has been handed and not finished."""
        with self._changed:
            engine = self._engines.get(name)
            return len(engine.held) if engine else 0

    def busy_seconds(self, name: str) -> float:
        """Since when an engine has had work without a pause; 0 where it has none."""
        with self._changed:
            engine = self._engines.get(name)
            return time.monotonic() - engine.busy_since if engine and engine.held else 0.0

    def lose(self, name: str) -> int:
        """Have the others draw what an engine held; how many engines are left."""
        with self._changed:
            engine = self._engines.pop(name, None)
            if engine is not None:
                self._waiting.extendleft(
                    one for one in reversed(engine.held.values()) if not one.batch.is_ended
                )
                self._feed()
            return len(self._engines)

    def fail(self, error: Exception) -> None:
        """End the queue: whoever waits, and whoever comes, gets this error."""
        with self._changed:
            self.failure = self.failure or error
            self._changed.notify_all()

    def _wait(self, batch: _Batch, groups: Sequence[Sequence[Asked]]) -> None:
        self._waiting.extend(
            _Sequence(batch, number, place, asked)
            for number, group in enumerate(groups)
            for place, asked in enumerate(group)
        )

    def _end(self, batch: _Batch) -> None:
        """Hand out nothing more of it."""
        batch.is_ended = True
        if batch.left:
            self._waiting = deque(one for one in self._waiting if one.batch is not batch)

    def _feed(self) -> None:
        """Hand out what waits, group by group, to whichever engine has the smallest load."""
        given: dict[str, list[Asked]] = {}
        while self._waiting:
            free = [engine for engine in self._engines.values() if len(engine.held) < engine.capacity]
            if not free:
                break
            engine = min(free, key=lambda one: len(one.held) / one.capacity)
            first = self._waiting[0]
            while self._waiting and len(engine.held) < engine.capacity:
                if (self._waiting[0].batch, self._waiting[0].group) != (first.batch, first.group):
                    break
                if not engine.held:
                    engine.busy_since = time.monotonic()
                number, sequence = next(self._numbers), self._waiting.popleft()
                engine.held[number] = sequence
                given.setdefault(engine.name, []).append({**sequence.asked, "number": number})
        for name, asked in given.items():
            self._engines[name].hand(asked)
