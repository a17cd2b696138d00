"""Which pairs of answers are equal: in-process where possible, in killable workers else.

Each answer is read once, into keys that are compared: no process, no algebra system. Sums, products,
integrals and limits are first brought to a closed form by sympy in a worker, which cannot hang the caller.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tasks.voting.pool.workers import Outcome, WorkerPool
from tasks.voting.reading import forms
from tasks.voting.reading.cursor import Node, packed, unpacked
from tasks.voting.reading.forms import Pending, Read, Refused, Unread

LARGEST_MEMO = 200_000


@dataclass(frozen=True, slots=True)
class Failed:
    """An answer on which a worker ran out of time or memory: it equals only itself."""

    text: str
    tree: Node
    kind: str


Answer = Read | Unread | Refused | Failed


class Grader:
    """Compares answers. Use as a context manager; safe to share between threads.

    `timeout_seconds` bounds each attempt of a worker, `memory_bytes` its address space, `workers`
    their number (2 where None and the machine has them). Counts so far: `timeouts`, comparisons (or
    answers of a vote) given up because a worker ran out of time; `failures`, because one ran out of
    memory or died; `refusals`, because an answer was too long or too deeply nested to be read.
    """

    def __init__(
        self, timeout_seconds: float = 2.0, memory_bytes: int = 1 << 30, workers: int | None = None
    ) -> None:
        if not timeout_seconds > 0:
            raise ValueError(f"timeout_seconds must be positive, not {timeout_seconds!r}")
        if memory_bytes < 1 << 27:
            raise ValueError(f"memory_bytes must be at least 128 MiB, not {memory_bytes!r}: sympy needs that")
        if workers is not None and workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers!r}")
        count = workers or min(2, os.cpu_count() or 1)
        self.timeouts = 0
        self.failures = 0
        self.refusals = 0
        self._pool = WorkerPool(timeout_seconds, memory_bytes, count)
        self._lock = threading.Lock()
        self._outcomes: dict[Node, Outcome] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes, if any were started; the grader can be used again."""
        with self._lock:
            self._pool.close()

    def equivalent(self, pairs: Sequence[tuple[str, str]]) -> list[bool | None]:
        """Whether the two answers of each pair are equal; None where that could not be decided.

        None means that a worker ran out of time or memory or that an answer was refused, and is
        counted. The relation is symmetric, and independent of the other pairs.
        """
        readings = self.readings({answer for pair in pairs for answer in pair})
        return [self._verdict(a, b, readings) for a, b in pairs]

    def readings(self, answers: Iterable[str]) -> dict[str, Answer]:
        """What each answer says; those beyond this process are valued in workers, all together."""
        found: dict[str, Answer] = {}
        pending: dict[str, Pending] = {}
        for answer in answers:
            reading = forms.read(answer)
            if isinstance(reading, Pending):
                pending[answer] = reading
            else:
                found[answer] = reading
        if pending:
            outcomes = self._ask({part for reading in pending.values() for part in reading.parts})
            found |= {answer: _valued(reading, outcomes) for answer, reading in pending.items()}
        return found

    def _verdict(self, a: str, b: str, readings: dict[str, Answer]) -> bool | None:
        left, right = readings[a], readings[b]
        if isinstance(left, Read | Unread) and isinstance(right, Read | Unread):
            return forms.agree(left, right)
        if same_as_written(left, right):
            return True
        if isinstance(left, Unread) or isinstance(right, Unread):
            return False
        self.give_up(left, right)
        return None

    def give_up(self, *readings: Answer) -> None:
        """Count a comparison, or an answer of a vote, that could not be decided."""
        kinds = {reading.kind for reading in readings if isinstance(reading, Failed)}
        what = "timeouts" if "timeout" in kinds else "failures" if kinds else "refusals"
        with self._lock:
            setattr(self, what, getattr(self, what) + 1)

    def _ask(self, trees: set[Node]) -> dict[Node, Outcome]:
        """Outcomes by tree, remembered or from the workers."""
        with self._lock:
            if len(self._outcomes) > LARGEST_MEMO:
                self._outcomes.clear()
            fresh = sorted(trees - self._outcomes.keys(), key=repr)
            if fresh:
                outcomes = self._pool.run([packed(tree) for tree in fresh])
                self._outcomes.update(zip(fresh, outcomes, strict=True))
            return {tree: self._outcomes[tree] for tree in trees}


def same_as_written(a: Answer, b: Answer) -> bool:
    """Whether two answers are equal whatever they mean."""
    return a.text == b.text or (isinstance(a, Failed) and isinstance(b, Failed) and a.tree == b.tree)


def _valued(reading: Pending, outcomes: dict[Node, Outcome]) -> Answer:
    """The reading of an answer with the closed forms that workers found for its parts."""
    found = {part: outcomes[part] for part in reading.parts}
    for outcome in found.values():
        if outcome.kind in ("timeout", "memory", "died"):
            return Failed(reading.text, reading.tree, outcome.kind)
    return reading.valued({part: unpacked(outcome.value) for part, outcome in found.items()})
