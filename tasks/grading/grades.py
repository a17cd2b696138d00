"""Grading the answers of a benchmark: by value, by letter, or by BBEH's rules on strings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from data.benchmark import Benchmark, Problem
from data.domain import ReadAnswer
from tasks.grading.reading import letter_of, loose_text, plain_text, read_answer, same_text
from tasks.voting.equivalence import Grader
from tasks.voting.extraction import solver_answer
from tasks.voting.reading.forms import real_number
from tasks.voting.votes import majority


@dataclass(frozen=True, slots=True)
class Grade:
    """The verdict on one answer; `correct` is None if the grader gave up, which counts as wrong."""

    correct: bool | None
    reason: str | None


def graded_rows(
    benchmark: Benchmark,
    problems: Mapping[int, Problem],
    drawn: pl.DataFrame,
    grader: Grader,
    read: ReadAnswer = solver_answer,
) -> list[dict[str, Any]]:
    """Rows of the `evaluation` table: each completion's answer and grade, and the vote of its problem.

    `drawn` holds rows of the `completions` table, of one benchmark and one mode.
    """
    groups: dict[int, list[dict[str, Any]]] = {}
    for row in drawn.iter_rows(named=True):
        groups.setdefault(row["problem_id"], []).append(row)
    answers = [
        [read_answer(benchmark.grading, row["completion"], read) for row in group]
        for group in groups.values()
    ]
    majorities = vote(benchmark, [[found.answer for found in group] for group in answers], grader)
    asked = [
        (answer, problems[number])
        for number, group, majority_answer in zip(groups, answers, majorities, strict=True)
        for answer in (*(found.answer for found in group), majority_answer)
    ]
    grades = iter(grade(benchmark, asked, grader))
    rows: list[dict[str, Any]] = []
    for group, found, majority_answer in zip(groups.values(), answers, majorities, strict=True):
        *own, of_majority = [next(grades) for _ in range(len(group) + 1)]
        for row, answer, graded in zip(group, found, own, strict=True):
            problem = problems[row["problem_id"]]
            rows.append(
                {name: row[name] for name in _COPIED}
                | {
                    "group": problem.group,
                    "problem": problem.problem,
                    "gold": " or ".join((problem.gold, *problem.accepted)),
                    "answer": answer.answer,
                    "reason": graded.reason or answer.reason,
                    "correct": bool(graded.correct),
                    "rule_correct": bool(graded.correct),
                    "judge_correct": None,
                    "judge_tokens": None,
                    "majority_answer": majority_answer,
                    "majority_correct": bool(of_majority.correct),
                }
            )
    return rows


_COPIED = ("benchmark", "problem_id", "mode", "sample", "tokens", "finish_reason")


def grade(benchmark: Benchmark, pairs: Sequence[tuple[str | None, Problem]], grader: Grader) -> list[Grade]:
    """The verdict on each answer: right if it equals the gold answer or another accepted one."""
    asked = [
        (answer, gold)
        for answer, problem in pairs
        if answer is not None
        for gold in (problem.gold, *problem.accepted)
    ]
    verdicts = iter(_equal(benchmark, asked, grader))
    grades = []
    for answer, problem in pairs:
        if answer is None:
            grades.append(Grade(False, None))
            continue
        equal = [next(verdicts) for _ in (problem.gold, *problem.accepted)]
        right = True in equal or _is_near(answer, problem)
        unsure = not right and None in equal
        grades.append(Grade(None if unsure else right, "timeout" if unsure else None))
    return grades


def vote(benchmark: Benchmark, groups: Sequence[Sequence[str | None]], grader: Grader) -> list[str | None]:
    """The majority answer of each problem's samples; None if none answered."""
    if benchmark.grading in ("math", "domain"):
        return [voted.answer for voted in majority(groups, grader)]
    return [_most_frequent([answer for answer in group if answer is not None]) for group in groups]


def _most_frequent(answers: Sequence[str]) -> str | None:
    """The alphabetically first spelling of the most frequent answer."""
    counts = Counter(loose_text(plain_text(answer)) for answer in answers)
    if not counts:
        return None
    best = min(counts, key=lambda key: (-counts[key], len(key), key))
    return min(answer for answer in answers if loose_text(plain_text(answer)) == best)


def _equal(benchmark: Benchmark, pairs: Sequence[tuple[str, str]], grader: Grader) -> list[bool | None]:
    if benchmark.grading in ("math", "domain"):
        return grader.equivalent(pairs)
    if benchmark.grading == "choice":
        return [answer == letter_of(gold) for answer, gold in pairs]
    return [same_text(answer, gold) for answer, gold in pairs]


def _is_near(answer: str, problem: Problem) -> bool:
    """Whether both are real numbers no further apart than the problem allows."""
    if not problem.tolerance:
        return False
    a, b = real_number(answer), real_number(problem.gold)
    return a is not None and b is not None and abs(a - b) <= problem.tolerance * (1 + 1e-12)
