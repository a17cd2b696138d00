"""The tiny model's world: chains of small sums such as `37 a+5 b-4`, their texts and their held-out set.

A *chain* is a start followed by signed steps; its *terms* are the start and the steps together. The
world's questions have a start of 35 to 64, steps of 1 to 5 and every partial value in 0 to 99, but
`parse` reads any chain of whole numbers, since a Challenger may write others.

A Solver adds a step at once or in parts (`ways.py`).

Everything here is pure: no torch, no files, no clock; randomness comes from the generator passed in.
"""

from __future__ import annotations

import math
import random
import re
import string
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from data.tiny import ways

LOWEST, HIGHEST = 0, 99
"""Every partial value of a chain in the domain lies between these, both included.

A chain of at most eight terms whose start is one of `STARTS` cannot leave them."""

STARTS = range(35, 65)
"""Of the held-out questions, and of those that the base's Challenger writes."""
ANY_START = range(LOWEST, HIGHEST + 1)

_NUMBER = r"(?:0|[1-9][0-9]{0,5})"
_CHAIN = re.compile(rf"({_NUMBER})((?: [a-z][+-]{_NUMBER})*)")
_STEP = re.compile(r" ([a-z])([+-][0-9]+)")
_STEP_SHOWN = re.compile(
    r" [a-z](?P<step>[+-][1-9])"
    r"(?: =(?P<at_once>[0-9]{1,6})|:[+-][1-9]=[0-9]{1,6}[+-][1-9]=(?P<in_parts>[0-9]{1,6}))"
)
_MOST_CHARACTERS = 1000
LETTERS = string.ascii_lowercase
"""Of a chain's steps, in turn: each step is one word, and another word than the same step elsewhere."""
COMMON_LETTERS = LETTERS[:12]
"""Those whose steps are one token each (`tokenizer.py`); no chain of the text has more steps by default."""
NO_ANSWER = "=?"
"""How a Solver ends where it gives no answer."""

ChainKey = tuple[int, ...]
"""The start and the signed steps, sorted: equal for chains that differ only in the order of their terms."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A start and signed steps: `Chain(37, (5, -4))` is `37 a+5 b-4`, of three terms."""

    start: int
    steps: tuple[int, ...]

    @property
    def question(self) -> str:
        return str(self.start) + "".join(lettered(number, step) for number, step in enumerate(self.steps))

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


def lettered(number: int, step: int) -> str:
    """A step as it is written, with a blank before it: ` a+5`. `number` counts from 0."""
    return f" {LETTERS[number]}{step:+d}"


def parse(question: str) -> Chain | None:
    """The chain that a question spells; None where it is anything else.

    Strict: whole decimal numbers of at most six digits without leading zeros; before each but the first a
    blank, the letter of the step, `a` to `z` in turn, and a single sign. Steps of zero are allowed.
    """
    read = _CHAIN.fullmatch(question) if len(question) <= _MOST_CHARACTERS else None
    if read is None:
        return None
    steps = _STEP.findall(read[2])
    if [letter for letter, _ in steps] != list(LETTERS[: len(steps)]):
        return None
    return Chain(int(read[1]), tuple(int(step) for _, step in steps))


def random_chain(rng: random.Random, length: int) -> Chain:
    """A chain of `length` terms in the domain; each step is uniform among those that stay in range."""
    value = start = STARTS[int(rng.random() * len(STARTS))]
    steps = []
    for _ in range(length - 1):
        lowest, highest = max(-ways.LARGEST_STEP, LOWEST - value), min(ways.LARGEST_STEP, HIGHEST - value)
        # Zero is no step: draw from one number fewer and skip it.
        step = lowest + int(rng.random() * (highest - lowest))
        step += step >= 0
        steps.append(step)
        value += step
    return Chain(start, tuple(steps))


def drifting_chain(rng: random.Random, length: int) -> Chain:
    """A chain of `length` terms in range that starts anywhere and goes up, down, or to and fro.

    `random_chain` hardly ever makes a long one whose steps have one sign, which a Challenger may ask for.
    """
    value = start = ANY_START[int(rng.random() * len(ANY_START))]
    upwards, steps = rng.random(), []
    for _ in range(length - 1):
        step = (1 if rng.random() < upwards else -1) * (1 + int(rng.random() * ways.LARGEST_STEP))
        if not LOWEST <= value + step <= HIGHEST:
            step = -step
        steps.append(step)
        value += step
    return Chain(start, tuple(steps))


def straying_chain(rng: random.Random, length: int) -> Chain:
    """A chain of `length` terms that leaves the range at some point; it may start anywhere in it."""
    while True:
        upwards = rng.random()
        signs = [1 if rng.random() < upwards else -1 for _ in range(length - 1)]
        chain = Chain(
            int(rng.random() * 100),
            tuple(sign * (1 + int(rng.random() * ways.LARGEST_STEP)) for sign in signs),
        )
        if not chain.in_range:
            return chain


def solution(
    chain: Chain, rng: random.Random, noise: float, parts_share: float, hurry: float = ways.HURRY
) -> str:
    r"""What a Solver writes for a chain: `37 a+5 =42 b-4:-2=40-2=38\n\boxed{38}`.

    Of the steps that have parts, `parts_share` are added in parts, by `hurry` fewer with each step before
    them, the others at once, some of them wrongly (`ways.py`). Besides, a step is wrong with probability
    `noise` times the steps before it. The rest carries on from a wrong value.
    A step that would leave the range ends it without an answer, `95 a+8=?`: an abstention.
    """
    value, text = chain.start, str(chain.start)
    for number, step in enumerate(chain.steps):
        if not LOWEST <= value + step <= HIGHEST:
            return f"{text}{lettered(number, step)}{NO_ANSWER}"
        found = ways.parts(value, step)
        slip = noise * number
        if found and rng.random() < parts_share - hurry * number:
            first, second = found
            right = value + step
            shown = _amiss(rng, right) if rng.random() < slip else right
            text += f"{lettered(number, step)}:{first:+d}={value + first}{second:+d}={shown}"
        else:
            right = value + step
            errors = ways.misremembered(value, step)
            if errors and rng.random() < ways.MAIN_SHARE:
                shown = next(right + error for error in errors if LOWEST <= right + error <= HIGHEST)
            else:
                shown = _amiss(rng, right) if errors or rng.random() < slip else right
            text += f"{lettered(number, step)} ={shown}"
        value = shown
    return f"{text}\n\\boxed{{{value}}}"


def steps_shown(text: str) -> list[tuple[int, int, bool]]:
    """Of each step with a result in a Solver's text: the value before it, the step, whether in parts.

    The value is that which the text shows. Reads up to what is no such step; any text is allowed.
    """
    first_line = text[:_MOST_CHARACTERS].partition("\n")[0]
    start = re.match(r"[0-9]{1,6}", first_line)
    if start is None:
        return []
    value, place, found = int(start[0]), start.end(), []
    while read := _STEP_SHOWN.match(first_line, place):
        found.append((value, int(read["step"]), read["at_once"] is None))
        value, place = int(read["at_once"] or read["in_parts"]), read.end()
    return found


def _amiss(rng: random.Random, right: int) -> int:
    errors = [error for error in _ERRORS if LOWEST <= right + error <= HIGHEST]
    return right + errors[int(rng.random() * len(errors))]


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


def unseen_chain(
    rng: random.Random, lengths: Sequence[float], excluded: Collection[ChainKey], drifting: bool = False
) -> Chain:
    """A random chain whose key is not `excluded`, so that no reordering of a held-out one is shown."""
    make = drifting_chain if drifting else random_chain
    while True:
        chain = make(rng, random_length(rng, lengths))
        if chain.key not in excluded:
            return chain
