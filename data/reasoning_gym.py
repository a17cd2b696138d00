"""Benchmarks out of the package reasoning-gym: `reasoning_gym:<task>?size=200&seed=0`, truths known, no hub.

Problems are made when a run begins, and frozen in its store as those of files are: neither a resumed run nor
a grade needs the package. Its tasks give a part of a point for a part of an answer, and some take a wrong one
for right, so rzero grades by itself: only tasks whose truth is one number or one word are benchmarks.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

from data.benchmark import Benchmark, BenchmarkError, Problem
from data.foreign import one_line

NUMBERS = (
    *("aiw", "basic_arithmetic", "binary_alternation", "chain_sum", "circuit_logic", "count_bits"),
    *("count_primes", "decimal_chain_sum", "dice", "gcd", "gsm_symbolic", "largest_island", "lcm"),
    *("leg_counting", "letter_counting", "maze", "number_sequence", "products", "rectangle_count"),
    *("rotten_oranges", "self_reference", "simple_equations", "simple_geometry"),
)
"""Tasks whose truth is an exact number or fraction, graded by value."""
WORDS = (
    *("acre", "color_cube_rotation", "course_schedule", "family_relationships", "game_of_life_halting"),
    *("isomorphic_strings", "mahjong_puzzle", "needle_haystack", "ransom_note", "syllogism"),
)
"""Tasks whose truth is a word, graded as text."""

LARGEST_SIZE = 100_000
_FORM = re.compile(r"reasoning_gym:(?P<task>[a-z0-9_]+)(?:\?(?P<query>[^?]*))?")
_NUMBER = re.compile(r"-?\d+(?:\.\d+|/[1-9]\d*)?", re.ASCII)
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")

# In a process of its own: it can be ended, and its sets always have the same order.
_PROGRAM = """
import dataclasses, json, sys
told, sys.stdout = sys.stdout, sys.stderr
task, settings = json.load(sys.stdin)
import reasoning_gym
from reasoning_gym.factory import DATASETS
if task not in DATASETS:
    sys.exit(f"this version of reasoning-gym has no task {task}")
known = {field.name: field.type for field in dataclasses.fields(DATASETS[task][1])}
unknown = sorted(settings.keys() - known)
if unknown:
    sys.exit(f"the task has no setting {unknown[0]}; it has: {', '.join(known)}")
try:
    made = [(each["question"], each["answer"]) for each in reasoning_gym.create_dataset(task, **settings)]
except Exception as error:
    sys.exit(f"it does not take these settings: {' '.join(str(error).split()) or type(error).__name__}")
json.dump(made, told)
"""


def is_one(name: str) -> bool:
    """Whether a benchmark's name asks for reasoning-gym, rightly or not."""
    return re.match(r"reasoning[_-]gym\b", name) is not None


def benchmark_of(name: str) -> Benchmark:
    """The benchmark of this name, without the package; BenchmarkError, in one line, where it says none."""
    task, settings = _parsed(name)
    return Benchmark(
        area="other",
        size=settings["size"],
        grading="math" if task in NUMBERS else "text",
        make=partial(problems_of_task, name),
    )


def problems_of_task(name: str, timeout_seconds: float = 600.0) -> list[Problem]:
    """The problems of the benchmark of this name, the same in every process.

    BenchmarkError, in one line, where the package is missing or fails, where it takes too long, and where a
    truth is not what rzero can grade.
    """
    task, settings = _parsed(name)
    if find_spec("reasoning_gym") is None:
        raise BenchmarkError(f"{name!r} needs the package reasoning-gym: pip install 'rzero[reasoning-gym]'")
    return checked(name, task, _made(name, task, settings, timeout_seconds))


def checked(name: str, task: str, made: Iterable[Sequence[Any]]) -> list[Problem]:
    """Questions and truths of a task as problems; BenchmarkError where rzero cannot grade one of them."""
    shape, kind = (_NUMBER, "number") if task in NUMBERS else (_WORD, "word")
    problems = []
    for number, (question, answer) in enumerate(made):
        if not (isinstance(question, str) and question.strip()) or not isinstance(answer, str):
            raise BenchmarkError(f"{name!r}: its problem {number} has no text as question or answer")
        if not shape.fullmatch(answer):
            shown = one_line(repr(answer), 60)
            raise BenchmarkError(
                f"{name!r}: the truth of its problem {number} is {shown}, which is no {kind}"
            )
        problems.append(Problem(number, "", question.strip(), answer))
    return problems


def _made(name: str, task: str, settings: dict[str, Any], timeout_seconds: float) -> list[list[Any]]:
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-W", "ignore", "-c", _PROGRAM],
            input=json.dumps([task, settings]),
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            env={**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": "0"},
        )
    except subprocess.TimeoutExpired:
        raise BenchmarkError(
            f"{name!r} was not made within {timeout_seconds:.0f} seconds: ask for a smaller size, or for "
            "easier settings"
        ) from None
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it ended at once"])[-1]
        raise BenchmarkError(f"{name!r}: {one_line(reason, 400)}")
    made: list[list[Any]] = json.loads(done.stdout)
    if len(made) != settings["size"]:
        raise BenchmarkError(f"{name!r}: the task gives {len(made)} problems, not {settings['size']}")
    return made


def _parsed(name: str) -> tuple[str, dict[str, Any]]:
    """Task and settings of a name, size and seed among them."""
    match = _FORM.fullmatch(name)
    if match is None:
        raise BenchmarkError(
            f"{one_line(repr(name), 80)} is no benchmark: write it as reasoning_gym:<task>?size=200&seed=0"
        )
    task = match["task"]
    if task not in NUMBERS and task not in WORDS:
        raise BenchmarkError(
            f"{one_line(repr(name), 80)}: rzero cannot grade a task {task[:40]!r} of reasoning-gym; it can: "
            f"{', '.join(sorted(NUMBERS + WORDS))}"
        )
    shown = one_line(repr(name), 80)
    settings: dict[str, Any] = {"size": 200, "seed": 0}
    given = [] if match["query"] is None else [part.partition("=") for part in match["query"].split("&")]
    for key, equals, text in given:
        value = _value(text)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", key) or value is None:
            raise BenchmarkError(
                f"{shown}: {one_line(repr(key + equals + text), 40)} is no setting: write <setting>=<value>, "
                "the value a number, true or false"
            )
        if [each for each, _, _ in given].count(key) > 1:
            raise BenchmarkError(f"{shown}: {key} is set twice")
        settings[key] = value
    for key, least, most in (("size", 1, LARGEST_SIZE), ("seed", 0, 2**63 - 1)):
        if type(settings[key]) is not int or not least <= settings[key] <= most:
            raise BenchmarkError(f"{shown}: {key} must be a whole number from {least} to {most}")
    return task, settings


def _value(text: str) -> int | float | bool | None:
    """A number, true or false; None where it is none, and so for words: a setting may name a file."""
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
        return int(text)
    return float(text) if re.fullmatch(r"-?\d{1,18}\.\d{1,18}", text, re.ASCII) else None
