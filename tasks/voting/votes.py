"""Majority votes over answers that are equal in meaning (R-Zero, section 2.3).

A sample without an answer is an abstention: it neither votes nor counts in `p_hat`. Nothing here
depends on the order of the samples: answers are grouped in a canonical order, by what they say
and how often they are given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from tasks.voting.domains import DomainGrader
from tasks.voting.equivalence import Answer, Failed, Grader, same_as_written
from tasks.voting.reading.forms import Read, Refused, Unread, agree

QUESTIONS_AT_A_TIME = 2048


@dataclass(frozen=True)
class Vote:
    """The vote on one question.

    `answer` is the spelling given most often among the answers equal to the majority's, None where
    nobody answered; `votes` how many samples agree with it, of `samples`, of which `abstentions`
    gave no answer; `p_hat` = votes / (samples - abstentions), 0 where nobody answered.
    """

    answer: str | None
    votes: int
    samples: int
    abstentions: int
    p_hat: float


def majority(samples: Sequence[Sequence[str | None]], grader: Grader) -> list[Vote]:
    """The vote on each question; `samples` holds the answers to it, None or blank for no answer.

    A tie goes to the group whose spelling is shortest, then first in alphabetical order. An answer
    that the grader cannot value within its limits votes for its own spelling only.
    """
    votes = []
    for question, groups in zip(samples, _grouped(samples, grader), strict=True):
        answered = sum(group.votes for group in groups)
        best = min(groups, key=_rank, default=None)
        answer, count = (None, 0) if best is None else (best.answer, best.votes)
        p_hat = count / answered if answered else 0.0
        votes.append(Vote(answer, count, len(question), len(question) - answered, p_hat))
    return votes


@dataclass
class _Group:
    """Answers that are equal: how often each spelling was given, and one reading of each meaning."""

    spellings: Counter[str]
    readings: list[Answer]

    @property
    def votes(self) -> int:
        return self.spellings.total()

    @property
    def answer(self) -> str:
        return min(self.spellings, key=lambda text: (-self.spellings[text], len(text), text))


def _rank(group: _Group) -> tuple[int, int, str]:
    answer = group.answer
    return (-group.votes, len(answer), answer)


def _trimmed(answer: str | None) -> str | None:
    return (answer.strip() or None) if answer is not None else None


def _grouped(samples: Sequence[Sequence[str | None]], grader: Grader) -> Iterator[list[_Group]]:
    """The groups of equal answers to each question; answers are read for some questions at a time."""
    for start in range(0, len(samples), QUESTIONS_AT_A_TIME):
        part = samples[start : start + QUESTIONS_AT_A_TIME]
        counts = [Counter(filter(None, map(_trimmed, question))) for question in part]
        if isinstance(grader, DomainGrader):
            yield from ([_Group(spellings, []) for spellings in groups] for groups in grader.groups(counts))
            continue
        readings = grader.readings({answer for count in counts for answer in count})
        for reading in readings.values():
            if isinstance(reading, Failed | Refused):
                grader.give_up(reading)
        for count in counts:
            yield _merged(_meanings(count, readings))


def _meanings(count: Counter[str], readings: dict[str, Answer]) -> list[_Group]:
    """Groups of answers equal in every part, in canonical order: most specific first, then by votes."""
    buckets: dict[Hashable, list[_Group]] = {}
    for answer in sorted(count):
        reading = readings[answer]
        key = (type(reading), getattr(reading, "bucket", None) or getattr(reading, "tree", reading.text))
        # Equal answers share a bucket; answers in a bucket are equal where the grader says so.
        bucket = buckets.setdefault(key, [])
        group = next((group for group in bucket if _equal(reading, group.readings[0])), None)
        if group is None:
            bucket.append(group := _Group(Counter(), [reading]))
        group.spellings[answer] = count[answer]
    groups = [group for bucket in buckets.values() for group in bucket]
    return groups if len(groups) == 1 else sorted(groups, key=lambda g: (-_annotations(g), *_rank(g)))


def _annotations(group: _Group) -> int:
    reading = group.readings[0]
    return reading.annotations if isinstance(reading, Read) else 0


def _equal(a: Answer, b: Answer) -> bool:
    if isinstance(a, Read | Unread) and isinstance(b, Read | Unread):
        return agree(a, b)
    return same_as_written(a, b)


def _merged(groups: list[_Group]) -> list[_Group]:
    """Join each meaning, in canonical order, to the first group all of whose meanings it equals.

    Only readings that state a name or a unit, or are equations, can equal one of another bucket.
    """
    merged: list[_Group] = []
    for group in groups:
        reading = group.readings[0]
        for home in merged:
            if _may_join(reading, home) and all(_equal(reading, other) for other in home.readings):
                home.spellings.update(group.spellings)
                home.readings.append(reading)
                break
        else:
            merged.append(group)
    return merged


def _may_join(reading: Answer, home: _Group) -> bool:
    return any(
        isinstance(r, Read) and (r.annotations > 0 or r.relation is not None)
        for r in (reading, *home.readings)
    )
