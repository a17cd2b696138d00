"""Benchmarks: sets of problems with right answers, each by its name."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.config import BaseModelConfig


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: its number within the benchmark, the part of it that it belongs to, its right answer."""

    problem_id: int
    group: str
    problem: str
    gold: str


def load(name: str, base_model: BaseModelConfig) -> list[Problem]:
    """The problems of a benchmark, the same on each call; `problem_id` counts from 0.

    Raises ValueError, in one line, for an unknown name or a base model that the benchmark does not fit.
    """
    if name not in BENCHMARKS:
        raise ValueError(f"unknown benchmark {name!r}: known are {', '.join(sorted(BENCHMARKS))}")
    return BENCHMARKS[name](base_model)


def problem_key(problem: str, base_model: BaseModelConfig) -> Hashable:
    """Equal for problems that are the same but for spaces, case and, in arithmetic, the terms' order."""
    if base_model.tiny is not None:
        from data.tiny.arithmetic import parse

        chain = parse(problem)
        if chain is not None:
            return chain.key
    return " ".join(problem.lower().split())


def held_out_keys(names: Sequence[str], base_model: BaseModelConfig) -> frozenset[Hashable]:
    """The keys of all problems of these benchmarks: what no training may show."""
    return frozenset(problem_key(p.problem, base_model) for name in names for p in load(name, base_model))


def _arithmetic(base_model: BaseModelConfig) -> list[Problem]:
    from data.benchmarks.arithmetic import problems

    return problems(base_model)


BENCHMARKS: dict[str, Callable[[BaseModelConfig], list[Problem]]] = {"arithmetic": _arithmetic}
"""Every benchmark by its name."""
