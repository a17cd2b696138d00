"""Majority votes over answers that are equal in meaning (R-Zero, section 2.3).

A sample without an answer is an abstention: it neither votes nor counts in `p_hat`. Nothing here
depends on the order of the samples: answers are grouped in a canonical order, by what they say
and how often they are given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import polars as pl

from tasks.voting.domains import DomainGrader
from tasks.voting.equivalence import Grader, Reading
from tasks.voting.reading.forms import Status


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


def vote_table(samples: Sequence[Sequence[str | None]], grader: Grader) -> pl.DataFrame:
    """One row a sample: `question` and `sample` (positions), `answer`, `representative`, `votes`, `majority`.

    `representative` is the spelling that stands for all answers equal to this one (null without an
    answer), `votes` how many there are, `majority` whether they won the vote.
    """
    rows: dict[str, list[object]] = {
        name: [] for name in ("question", "sample", "answer", "representative", "votes", "majority")
    }
    for number, (question, groups) in enumerate(zip(samples, _grouped(samples, grader), strict=True)):
        group_of = {answer: group for group in groups for answer in group.spellings}
        best = min(groups, key=_rank, default=None)
        for position, answer in enumerate(question):
            group = group_of.get(_trimmed(answer) or "")
            rows["question"].append(number)
            rows["sample"].append(position)
            rows["answer"].append(answer)
            rows["representative"].append(group.answer if group else None)
            rows["votes"].append(group.votes if group else 0)
            rows["majority"].append(group is not None and group is best)
    return pl.DataFrame(
        rows,
        schema={
            "question": pl.Int64, "sample": pl.Int64, "answer": pl.String,
            "representative": pl.String, "votes": pl.Int64, "majority": pl.Boolean,
        },
    )  # fmt: skip


@dataclass
class _Group:
    """Answers that are equal: how often each spelling was given, and one reading of each meaning."""

    spellings: Counter[str]
    readings: list[Reading]

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


def _grouped(samples: Sequence[Sequence[str | None]], grader: Grader) -> list[list[_Group]]:
    """The groups of equal answers to each question."""
    counts = [Counter(filter(None, map(_trimmed, question))) for question in samples]
    if isinstance(grader, DomainGrader):
        return [[_Group(spellings, []) for spellings in groups] for groups in grader.groups(counts)]
    readings = grader.readings({answer for count in counts for answer in count})
    meanings = [_meanings(count, readings) for count in counts]
    verdicts = _undecided(meanings, grader)
    return [_merge(groups, verdicts) for groups in meanings]


def _meanings(count: Counter[str], readings: dict[str, Reading]) -> list[_Group]:
    """Groups of answers with the same key, in canonical order: most specific first, then by votes."""
    groups: dict[Hashable, _Group] = {}
    for answer in sorted(count):
        reading = readings[answer]
        form = reading.form
        key: Hashable = form.key if form.status is Status.READ else form.text
        group = groups.setdefault(key, _Group(Counter(), [reading]))
        group.spellings[answer] = count[answer]
    if len(groups) == 1:
        return list(groups.values())
    return sorted(groups.values(), key=lambda g: (-g.readings[0].form.annotations, *_rank(g)))


Pair = tuple[str, str]


def _undecided(meanings: list[list[_Group]], grader: Grader) -> dict[Pair, bool]:
    """Verdicts of the grader on the pairs of meanings that keys alone do not decide, for all questions."""
    wanted: dict[Pair, tuple[Reading, Reading]] = {}
    for groups in meanings:
        if len(groups) < 2:
            continue
        firsts = [group.readings[0] for group in groups]
        special = [
            r for r in firsts if r.form.status is not Status.READ or r.form.annotations or r.form.bare is None
        ]
        for a in special:
            for b in firsts:
                if a is not b:
                    wanted[(a.answer, b.answer)] = (a, b)
    verdicts = grader.compare(list(wanted.values()))
    equal = {pair for pair, verdict in zip(wanted, verdicts, strict=True) if verdict}
    return {pair: pair in equal or pair[::-1] in equal for pair in wanted}


def _merge(groups: list[_Group], verdicts: dict[Pair, bool]) -> list[_Group]:
    """Join each meaning, in canonical order, to the first group all of whose meanings it equals."""
    if len(groups) < 2:
        return groups
    merged: list[_Group] = []
    for group in groups:
        reading = group.readings[0]
        home = next((other for other in merged if _equals_all(reading, other, verdicts)), None)
        if home is None:
            merged.append(group)
        else:
            home.spellings.update(group.spellings)
            home.readings.append(reading)
    return merged


def _equals_all(reading: Reading, group: _Group, verdicts: dict[Pair, bool]) -> bool:
    return all(
        verdicts.get((reading.answer, other.answer), False)
        or verdicts.get((other.answer, reading.answer), False)
        for other in group.readings
    )
