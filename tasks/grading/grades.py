r"""Reading and grading the answers of a benchmark: by value, by letter, or by BBEH's rules on strings.

An answer that cannot be found is wrong. It is never guessed, and reading an answer never looks at the gold
answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from data.benchmark import Benchmark, Problem
from data.domain import ReadAnswer
from tasks.voting.equivalence import Grader
from tasks.voting.extraction import solver_answer
from tasks.voting.reading.forms import real_number
from tasks.voting.votes import majority

_WRAPPED = re.compile(
    r"\\(?:text(?:bf|it|rm|tt|normal)?|math(?:rm|bf|it|tt|sf)|boldsymbol|bm|mbox)\s*\{([^{}]*)\}"
)
_LETTER = re.compile(r"\(?([A-Za-z])\)?[.:)]?|\(([A-Z])\)[.:]?\s+\S.*|([A-Z])[.:)]\s+\S.*", re.DOTALL)
_OTHER_OPTION = re.compile(r"\(([A-Z])\)|(?<![A-Za-z])([A-Z])[.:)](?!\w)|\b(?:and|or)\s+([A-Z])\b")
_SAYS_LETTER = re.compile(
    r"\banswer\s*(?:is|:)\s*:?\s*(?:option\s+)?[*$]*\(?([A-Z])\)?[*$]*(?![A-Za-z])", re.IGNORECASE
)
_SAYS_TEXT = re.compile(r"\bthe\s+(?:final\s+)?answer\s+is\s*:?[ \t]*(\S[^\n]*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ExtractedAnswer:
    """The answer of a completion; if it has none, `answer` is None and `reason` says why."""

    answer: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Grade:
    """The verdict on one answer; `correct` is None if the grader gave up, which counts as wrong."""

    correct: bool | None
    reason: str | None


def read_answer(benchmark: Benchmark, completion: str, read: ReadAnswer = solver_answer) -> ExtractedAnswer:
    r"""The answer of a completion: what the last `\boxed{}` holds, or what the domain's own `read` finds.

    For a choice it is the one letter in the box or, without a box, that of "the answer is (C)". For a text
    without a box it is what follows "the answer is". Reasons are those of `solver_answer`, and `no_letter`.
    """
    answer, reason = read(completion)
    if benchmark.grading == "choice":
        if answer is not None:
            letter = letter_of(answer)
            return ExtractedAnswer(letter, None if letter else "no_letter")
        said = _SAYS_LETTER.findall(completion) if reason == "no_box" else []
        return ExtractedAnswer(said[-1].upper(), None) if said else ExtractedAnswer(None, reason)
    if benchmark.grading == "text" and reason == "no_box":
        texts = _SAYS_TEXT.findall(completion)
        text = texts[-1].strip() if texts else ""
        return ExtractedAnswer(text, None) if plain_text(text) else ExtractedAnswer(None, reason)
    return ExtractedAnswer(answer, reason)


def letter_of(answer: str) -> str | None:
    """The one option that an answer names: C, (c), C., "C. 5 apples"; None if it names none or several."""
    text = _unwrapped(answer)
    match = _LETTER.fullmatch(text)
    if match is None:
        return None
    letter = next(group for group in match.groups() if group).upper()
    others = {group.upper() for groups in _OTHER_OPTION.findall(text) for group in groups if group}
    return letter if others <= {letter} else None


def plain_text(answer: str) -> str:
    """An answer as BBEH compares it: first line, lower case, no mark-up, no closing full stop."""
    text = _unwrapped(answer.strip()).split("\n")[0].replace("**", "").replace(", ", ",")
    return text.strip().lower().removesuffix(".").strip()


def same_text(answer: str, gold: str) -> bool:
    """Whether two short answers are equal by the rules of BBEH's evaluator."""
    a, b = plain_text(answer), plain_text(gold)
    if not a or not b:
        return False
    return a == b or _loose(a) == _loose(b) or _same_number(a, b)


def _loose(text: str) -> str:
    """Without quotes, a closing question mark, or brackets around the whole; (a) is a."""
    text = text.replace("'", "").replace('"', "").removesuffix("?").strip()
    bracketed = text[:1] + text[-1:] in ("[]", "()") and text.count(text[0]) == 1
    return text[1:-1].strip() if bracketed and (text[0] == "[" or len(text) == 3) else text


def _same_number(a: str, b: str) -> bool:
    try:
        return float(a) == float(b)
    except ValueError:
        return False


def _unwrapped(answer: str) -> str:
    """Without dollar signs around it and the LaTeX commands for words in it."""
    text = answer.strip()
    for _ in range(3):
        text = _WRAPPED.sub(r"\1", text).strip().strip("$").strip()
    return text.removeprefix("{").removesuffix("}").strip() if text[:1] == "{" else text


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
        [read_answer(benchmark, row["completion"], read) for row in group] for group in groups.values()
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
    counts = Counter(_loose(plain_text(answer)) for answer in answers)
    if not counts:
        return None
    best = min(counts, key=lambda key: (-counts[key], len(key), key))
    return min(answer for answer in answers if _loose(plain_text(answer)) == best)


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
