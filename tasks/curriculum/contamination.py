"""Which questions resemble a problem of a benchmark: shared word n-grams, numbers masked.

A text is read as lower-case words; every number, in digits or in words, and every single letter that names
a quantity stands as one mark, so that a problem with other numbers is still met. Two texts resemble each
other where the n-grams that they share are at least a given part of those of the shorter one. Texts with
less than n words besides numbers say too little for that: they are met only word by word.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from data.benchmark import Problem

NUMBER = "#"
_TOKEN = re.compile(r"\d[\d,]*(?:\.\d+)?|[^\W\d_]+")
_NUMBER_TEXT = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand "
    "million"
)
_NUMBER_WORDS = frozenset(_NUMBER_TEXT.split())


@dataclass(frozen=True, slots=True)
class Overlap:
    """A question that resembles a problem; `share` of the shorter text's n-grams are in both."""

    question: int
    benchmark: str
    problem: Problem
    share: float
    verbatim: bool


def words(text: str) -> list[str]:
    """The words of a text, lower case, each number and each single letter as one mark."""
    found: list[str] = []
    for token in _TOKEN.findall(text.lower()):
        is_mark = token[0].isdigit() or token in _NUMBER_WORDS or (len(token) == 1 and token != "a")
        if not (is_mark and found and found[-1] == NUMBER):
            found.append(NUMBER if is_mark else token)
    return found


def plain(text: str) -> str:
    """A text without case, spaces and punctuation but with its numbers: equal for word-by-word copies."""
    return " ".join(_TOKEN.findall(text.lower()))


def find_overlaps(
    questions: Sequence[str | None],
    problems: Mapping[str, Iterable[Problem]],
    ngram: int,
    share: float,
) -> list[Overlap]:
    """For each question at most one overlap: the problem that it shares most with, by question.

    `problems` holds the problems of each benchmark. Memory grows with the questions, not with the benchmarks.
    """
    grams = [None if text is None else _grams(words(text), ngram) for text in questions]
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    copies: dict[str, list[int]] = defaultdict(list)
    for number, (text, found) in enumerate(zip(questions, grams, strict=True)):
        if text is not None:
            copies[plain(text)].append(number)
        for gram in found or ():
            holders[gram].append(number)
    best: dict[int, Overlap] = {}

    def offer(overlap: Overlap) -> None:
        known = best.get(overlap.question)
        if known is None or (overlap.verbatim, overlap.share) > (known.verbatim, known.share):
            best[overlap.question] = overlap

    for name, each in problems.items():
        for problem in each:
            key = plain(problem.problem)
            for number in copies.get(key, ()) if key else ():
                offer(Overlap(number, name, problem, 1.0, True))
            mine = _grams(words(problem.problem), ngram)
            shared = Counter(number for gram in mine or () for number in holders.get(gram, ()))
            for number, count in shared.items():
                part = count / min(len(mine or ()), len(grams[number] or ()))
                if part >= share:
                    offer(Overlap(number, name, problem, part, False))
    return [best[number] for number in sorted(best)]


def _grams(tokens: Sequence[str], ngram: int) -> frozenset[tuple[str, ...]] | None:
    """The n-grams that hold a word; None of a text that has less than n words besides marks."""
    if sum(token != NUMBER for token in tokens) < ngram:
        return None
    found = (tuple(tokens[start : start + ngram]) for start in range(len(tokens) - ngram + 1))
    return frozenset(gram for gram in found if any(token != NUMBER for token in gram))
