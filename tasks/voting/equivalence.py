"""Which pairs of answers are equal: exact and in-process where possible, in killable workers else.

What is read by `forms` is decided by comparing keys: no process, no algebra system. Other
mathematics (integrals, sums, huge powers) is valued once an answer by math-verify and sympy in a
worker; where that gives no value, math-verify compares the pair. Neither can hang the caller.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Self

from tasks.voting.pool.workers import Outcome, WorkerPool
from tasks.voting.reading.forms import Form, Status, agree, read

LARGEST_MEMO = 200_000
_OUT_OF_LIMITS = frozenset(("timeout", "memory", "died"))


@dataclass(frozen=True)
class Reading:
    """An answer with what is known of it: its form, and the outcome of a worker's attempt if any."""

    answer: str
    form: Form
    failed: bool = False
    """A worker ran out of time or memory on it: it equals only its own spelling."""


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
        self._readings: dict[str, Reading | Outcome] = {}
        self._verdicts: dict[tuple[str, str], Outcome] = {}

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
        return self.compare([(readings[a], readings[b]) for a, b in pairs])

    def readings(self, answers: Iterable[str]) -> dict[str, Reading]:
        """What each answer says; those beyond this process are valued in workers, all together."""
        found: dict[str, Reading] = {}
        hard: dict[str, str] = {}
        for answer in answers:
            form = read(answer)
            if form.status is Status.HARD:
                hard[answer] = form.text
            found[answer] = Reading(answer, form)
        if hard:
            outcomes = self._ask(self._readings, {text: ("probe", a) for a, text in hard.items()})
            for answer, text in hard.items():
                found[answer] = _valued(found[answer], outcomes[text])
        return found

    def compare(self, pairs: Sequence[tuple[Reading, Reading]]) -> list[bool | None]:
        """`equivalent` for answers that have been read."""
        verdicts: list[bool | None] = [None] * len(pairs)
        open_pairs: dict[tuple[str, str], tuple[str, ...]] = {}
        asked: list[tuple[int, tuple[str, str]]] = []
        for position, (a, b) in enumerate(pairs):
            known = _decided(a, b)
            if known is not None:
                verdicts[position] = known
            elif Status.REFUSED in (a.form.status, b.form.status):
                self._count("refusals")
            elif a.failed or b.failed:
                self._count("failures" if "timeout" not in (self._cause(a), self._cause(b)) else "timeouts")
            else:
                first, second = sorted((a, b), key=lambda r: (len(r.form.text), r.form.text))
                pair = (first.form.text, second.form.text)
                open_pairs[pair] = ("verify", first.answer, second.answer)
                asked.append((position, pair))
        if asked:
            outcomes = self._ask(self._verdicts, open_pairs)
            for position, pair in asked:
                outcome = outcomes[pair]
                if outcome.kind in _OUT_OF_LIMITS:
                    self._count("timeouts" if outcome.kind == "timeout" else "failures")
                else:
                    verdicts[position] = outcome.kind == "done" and bool(outcome.value)
        return verdicts

    def _cause(self, reading: Reading) -> str | None:
        outcome = self._readings.get(reading.form.text)
        return outcome.kind if isinstance(outcome, Outcome) and reading.failed else None

    def _count(self, what: str) -> None:
        with self._lock:
            setattr(self, what, getattr(self, what) + 1)

    def _ask(self, memo: dict[Any, Any], requests: dict[Any, tuple[str, ...]]) -> dict[Any, Outcome]:
        """Outcomes by key, from the memo or from the workers."""
        with self._lock:
            fresh = sorted(key for key in requests if key not in memo)
            if len(memo) > LARGEST_MEMO:
                memo.clear()
                fresh = sorted(requests)
            if fresh:
                memo.update(zip(fresh, self._pool.run([requests[key] for key in fresh]), strict=True))
            return {key: memo[key] for key in requests}


def _valued(reading: Reading, outcome: Outcome) -> Reading:
    if outcome.kind in _OUT_OF_LIMITS:
        return replace(reading, failed=True)
    if outcome.kind == "done" and outcome.value is not None:
        key = _tuples(outcome.value)
        return Reading(reading.answer, Form(Status.READ, reading.form.text, key, key))
    return reading


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _decided(a: Reading, b: Reading) -> bool | None:
    """The verdict where no worker is needed, else None."""
    if a.form.text == b.form.text:
        return True
    if a.form.status is Status.READ and b.form.status is Status.READ:
        return agree(a.form, b.form)
    if Status.REFUSED in (a.form.status, b.form.status) or a.failed or b.failed:
        return None
    for form in (a.form, b.form):
        # Words are never equal to mathematics, and are no business of an algebra system.
        if isinstance(form.bare, tuple) and form.bare[:1] == ("text",):
            return False
    return None
