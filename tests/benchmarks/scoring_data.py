"""Made-up questions and answers of a realistic make, the same for every run."""

from __future__ import annotations

import random

import numpy as np


def diverse_questions(count: int, seed: int = 0) -> list[str]:
    """Questions of 15 to 60 words with word frequencies as in natural language (Zipf)."""
    generator = np.random.default_rng(seed)
    frequencies = 1.0 / (np.arange(8000) + 2.7)
    frequencies /= frequencies.sum()
    lengths = generator.integers(15, 60, size=count)
    words = generator.choice(8000, size=int(lengths.sum()), p=frequencies)
    bounds = np.cumsum(lengths)[:-1]
    return [" ".join(f"w{word}" for word in part) for part in np.split(words, bounds)]


_TEMPLATES = (
    "Let {a} and {b} be positive integers such that their sum is {c} . Find the number of ordered pairs .",
    "A bag holds {a} red and {b} blue balls . What is the chance that the first {c} drawn are all red ?",
    "Find the remainder when {a} raised to the power {b} is divided by {c} .",
    "How many integers between {a} and {b} are divisible by {c} but not by its square ?",
    "In triangle ABC the sides are {a} , {b} and {c} . Find the radius of the inscribed circle .",
)


def collapsed_questions(count: int, seed: int = 0) -> list[str]:
    """Questions of a collapsed Challenger: few templates with other numbers, a third of them copies."""
    generator = random.Random(seed)
    questions: list[str] = []
    while len(questions) < count:
        if questions and generator.random() < 0.33:
            questions.append(generator.choice(questions))
        else:
            numbers = {name: generator.randrange(2, 2000) for name in "abc"}
            questions.append(generator.choice(_TEMPLATES).format(**numbers))
    return questions


def answer_samples(count: int, samples: int = 10, seed: int = 0) -> list[list[str | None]]:
    """Answers to `count` questions: right ones in several spellings, wrong ones, and some missing."""
    generator = random.Random(seed)
    return [_answers(generator, samples) for _ in range(count)]


def _answers(generator: random.Random, samples: int) -> list[str | None]:
    right = generator.random()
    kind = generator.choices(range(len(_KINDS)), weights=[weight for weight, _ in _KINDS])[0]
    make = _KINDS[kind][1]
    seeds = [generator.randrange(1 << 30) for _ in range(4)]
    answers: list[str | None] = []
    for _ in range(samples):
        if generator.random() < 0.04:
            answers.append(None)
            continue
        chosen = seeds[0] if generator.random() < right else generator.choice(seeds[1:])
        spellings = make(random.Random(chosen))
        answers.append(generator.choices(spellings, weights=[5, *[1] * (len(spellings) - 1)])[0])
    return answers


def _integer(generator: random.Random) -> list[str]:
    value = generator.randrange(-50, 3000)
    return [f"{value}", f"{value}", f"{value:,}", f"${value}$", f"{value}.0", f"x={value}"]


def _fraction(generator: random.Random) -> list[str]:
    top, bottom = generator.randrange(1, 40), generator.choice([3, 7, 9, 11, 13])
    return [rf"\frac{{{top}}}{{{bottom}}}", rf"\dfrac{{{top}}}{{{bottom}}}", f"{top}/{bottom}"]


def _root(generator: random.Random) -> list[str]:
    factor, radicand = generator.randrange(2, 12), generator.choice([2, 3, 5, 7])
    return [
        rf"{factor}\sqrt{{{radicand}}}",
        rf"\sqrt{{{factor * factor * radicand}}}",
        rf"{factor} \cdot \sqrt{{{radicand}}}",
        rf"\frac{{{factor * radicand}}}{{\sqrt{{{radicand}}}}}",
    ]


def _with_pi(generator: random.Random) -> list[str]:
    top, bottom = generator.randrange(1, 30), generator.randrange(2, 9)
    return [rf"\frac{{{top}\pi}}{{{bottom}}}", rf"\frac{{{top}}}{{{bottom}}}\pi", rf"{top}\pi/{bottom}"]


def _polynomial(generator: random.Random) -> list[str]:
    a, b = generator.randrange(1, 9), generator.randrange(1, 9)
    return [
        f"x^2+{a + b}x+{a * b}",
        f"(x+{a})(x+{b})",
        f"{a * b} + {a + b}x + x^2",
        f"x^{{2}}+{a + b}x+{a * b}",
    ]


def _point(generator: random.Random) -> list[str]:
    a, b = generator.randrange(-9, 9), generator.randrange(-9, 9)
    return [f"({a},{b})", f"({a}, {b})", rf"\left({a},{b}\right)"]


def _interval(generator: random.Random) -> list[str]:
    a = generator.randrange(-9, 9)
    return [rf"[{a},\infty)", rf"[{a}, \infty)", rf"x \ge {a}", rf"x\geq {a}"]


def _word(generator: random.Random) -> list[str]:
    word = generator.choice(["yes", "no", "even", "odd", "none", "A", "B"])
    return (
        [word, rf"\text{{{word}}}", word.title()]
        if len(word) > 1
        else [word, rf"\text{{{word}}}", f"({word})"]
    )


def _length(generator: random.Random) -> list[str]:
    value, unit = generator.randrange(2, 90), generator.choice(["cm", "m", "km"])
    return [rf"{value}\text{{ {unit}}}", f"{value} {unit}", f"{value}"]


def _trigonometric(generator: random.Random) -> list[str]:
    k = generator.randrange(2, 7)
    return [rf"\sin {2 * k}x", rf"2\sin({k}x)\cos({k}x)", rf"\sin({2 * k}x)"]


_KINDS = [
    (55, _integer), (15, _fraction), (7, _root), (4, _with_pi), (7, _polynomial), (4, _point),
    (2, _interval), (3, _word), (2, _length), (1, _trigonometric),
]  # fmt: skip
