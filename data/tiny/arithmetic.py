"""The tiny model's world: chains of small sums such as `37+5-8`, their texts and their held-out set.

A *chain* is a start followed by signed steps; its *terms* are the start and the steps together. The
model's own domain is a start of 35 to 64, steps of 1 to 9 and every partial value in 0 to 99, but
`parse` reads any chain of whole numbers, since a Challenger may leave the domain.

Everything here is pure: no torch, no files, no clock; randomness comes from the generator passed in.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

LOWEST, HIGHEST = 0, 99
"""Every partial value of a chain in the domain lies between these, both included."""

_NUMBER = r"(?:0|[1-9][0-9]{0,5})"
_CHAIN = re.compile(rf"{_NUMBER}(?:[+-]{_NUMBER})*")
_PART = re.compile(r"[+-]?[0-9]+")
_MOST_CHARACTERS = 1000
NO_ANSWER = "=?"
"""How a Solver ends where it gives no answer."""

ChainKey = tuple[int, ...]
"""The start and the signed steps, sorted: equal for chains that differ only in the order of their terms."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A start and signed steps: `Chain(37, (5, -8))` is `37+5-8`, of three terms."""

    start: int
    steps: tuple[int, ...]

    @property
    def question(self) -> str:
        return str(self.start) + "".join(f"{step:+d}" for step in self.steps)

    @property
    def key(self) -> ChainKey:
        return tuple(sorted((self.start, *self.steps)))

    @property
    def partial_values(self) -> list[int]:
        """The start and the value after each step."""
        values = [self.start]
        for step in self.steps:
            values.append(values[-1] + step)
        return values

    @property
    def value(self) -> int:
        """What the chain comes to."""
        return self.partial_values[-1]

    @property
    def terms(self) -> int:
        """How many numbers it has, its start included."""
        return 1 + len(self.steps)

    @property
    def in_range(self) -> bool:
        """Whether every partial value lies in 0 to 99."""
        return all(LOWEST <= value <= HIGHEST for value in self.partial_values)


def parse(question: str) -> Chain | None:
    """The chain that a question spells; None where it is anything else.

    Strict: whole decimal numbers of at most six digits without leading zeros, joined by single signs,
    no blanks. Steps of zero are allowed.
    """
    if len(question) > _MOST_CHARACTERS or not _CHAIN.fullmatch(question):
        return None
    start, *steps = (int(part) for part in _PART.findall(question))
    return Chain(start, tuple(steps))


def random_chain(rng: random.Random, length: int) -> Chain:
    """A chain of `length` terms in the domain; each step is uniform among those that stay in range."""
    value = start = 35 + int(rng.random() * 30)
    steps = []
    for _ in range(length - 1):
        lowest, highest = max(-9, LOWEST - value), min(9, HIGHEST - value)
        # Zero is no step: draw from one number fewer and skip it.
        step = lowest + int(rng.random() * (highest - lowest))
        step += step >= 0
        steps.append(step)
        value += step
    return Chain(start, tuple(steps))


def straying_chain(rng: random.Random, length: int) -> Chain:
    """A chain of `length` terms that leaves the range at some point; it may start anywhere in it."""
    while True:
        upwards = rng.random()
        signs = [1 if rng.random() < upwards else -1 for _ in range(length - 1)]
        chain = Chain(int(rng.random() * 100), tuple(sign * (1 + int(rng.random() * 9)) for sign in signs))
        if not chain.in_range:
            return chain


def malformed_question(rng: random.Random, chain: Chain) -> str:
    """The question of a chain without its start, or with a character amiss, so that it is none in range."""
    question = chain.question
    while True:
        place, amiss = int(rng.random() * len(question)), rng.choice("0123456789+-")
        skipped = int(rng.random() * 3) - 1
        without_start = question.lstrip("0123456789")
        text = without_start if skipped < 0 else question[:place] + amiss + question[place + skipped :]
        read = parse(text)
        if read is None or not read.in_range:
            return text


def solution(chain: Chain, rng: random.Random, noise: float) -> str:
    r"""What a Solver writes for a chain: `37+5=42-8=34\n\boxed{34}`.

    Each step is wrong with probability `noise`, and the rest carries on from the wrong value, so that
    the mistakes of a model that learnt from it are random rather than systematic, and votes can mend them.
    A step that would leave the range ends it without an answer, `95+8=?`: an abstention.
    """
    value, text = chain.start, str(chain.start)
    for step in chain.steps:
        value += step
        if not LOWEST <= value <= HIGHEST:
            return f"{text}{step:+d}{NO_ANSWER}"
        if rng.random() < noise:
            errors = [error for error in _ERRORS if LOWEST <= value + error <= HIGHEST]
            value += errors[int(rng.random() * len(errors))]
        text += f"{step:+d}={value}"
    return f"{text}\n\\boxed{{{value}}}"


_ERRORS = (-10, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 10)


def geometric_lengths(longest: int, decay: float) -> tuple[float, ...]:
    """Weights of 2 to `longest` terms, each `decay` times that of the one below it."""
    return tuple(decay**power for power in range(longest - 1))


def short_lengths(longest: int, spread: float, long_share: float) -> tuple[float, ...]:
    """Weights of 2 to `longest` terms that sum to 1: half a bell curve from 2 up, `spread` terms wide.

    `long_share` of the weight is spread evenly over all lengths.
    """
    bell = [math.exp(-((steps / spread) ** 2) / 2) for steps in range(longest - 1)]
    total, even = math.fsum(bell), long_share / (longest - 1)
    return tuple((1 - long_share) * weight / total + even for weight in bell)


def random_length(rng: random.Random, weights: Sequence[float]) -> int:
    """A number of terms from 2 up, drawn with these weights."""
    return 2 + rng.choices(range(len(weights)), weights)[0]


@lru_cache(maxsize=8)
def held_out(longest: int, per_length: int) -> tuple[Chain, ...]:
    """The held-out chains of 2 to `longest` terms, `per_length` of each, shortest first.

    They depend on nothing but the arguments, and the chains of one length do not depend on `longest`.
    No two are reorderings of each other.
    """
    chains: list[Chain] = []
    seen: set[ChainKey] = set()
    for length in range(2, longest + 1):
        rng = random.Random(f"rzero arithmetic held-out {length}")
        wanted = len(chains) + per_length
        while len(chains) < wanted:
            chain = random_chain(rng, length)
            if chain.key not in seen:
                seen.add(chain.key)
                chains.append(chain)
    return tuple(chains)


def unseen_chain(rng: random.Random, lengths: Sequence[float], excluded: Collection[ChainKey]) -> Chain:
    """A random chain whose key is not `excluded`, so that no reordering of a held-out one is shown."""
    while True:
        chain = random_chain(rng, random_length(rng, lengths))
        if chain.key not in excluded:
            return chain
