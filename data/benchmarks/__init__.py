"""Benchmarks: sets of problems with right answers. Each file here declares one; its name is the file's.

Another package adds its own with an entry point of the group `rzero.benchmarks` that names a `Benchmark`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Hashable, Iterable
from importlib import metadata
from typing import TYPE_CHECKING

from data.benchmark import Benchmark, BenchmarkError, Problem

if TYPE_CHECKING:
    from data.config import BaseModelConfig

GROUP = "rzero.benchmarks"
"""The entry points that other packages declare."""

MATH = ("amc23", "minerva", "math500", "gsm8k", "olympiadbench", "aime2025", "aime2024")
GENERAL = ("supergpqa", "mmlu_pro", "bbeh")
"""What the paper's two averages are taken over."""


def names() -> list[str]:
    """Names of all benchmarks, sorted."""
    return sorted({module.name for module in pkgutil.iter_modules(__path__)} | set(_plugins()))


def get(name: str) -> Benchmark:
    """The benchmark of this name; BenchmarkError where there is none."""
    if name in {module.name for module in pkgutil.iter_modules(__path__)}:
        found = importlib.import_module(f"data.benchmarks.{name}").BENCHMARK
    elif name in (plugins := _plugins()):
        found = plugins[name].load()
    else:
        raise BenchmarkError(f"unknown benchmark {name!r}: known are {', '.join(names())}")
    if not isinstance(found, Benchmark):
        raise BenchmarkError(f"benchmark {name!r} is declared as {type(found).__name__}, not as a Benchmark")
    return found


def load(name: str, base_model: BaseModelConfig) -> list[Problem]:
    """The problems of a benchmark, the same on each call; `problem_id` counts from 0.

    Raises BenchmarkError (a ValueError), in one line, for an unknown name, data that are not there or that
    have another shape, or a base model that the benchmark does not fit.
    """
    benchmark = get(name)
    if benchmark.generate is not None:
        return benchmark.generate(base_model)
    from data.benchmark_files import read_problems

    return read_problems(name, benchmark)


def problem_key(problem: str, base_model: BaseModelConfig) -> Hashable:
    """Equal for problems that are the same but for spaces, case and, in arithmetic, the terms' order."""
    if base_model.tiny is not None:
        from data.tiny.arithmetic import parse

        chain = parse(problem)
        if chain is not None:
            return chain.key
    return " ".join(problem.lower().split())


def problem_keys(problems: Iterable[Problem], base_model: BaseModelConfig) -> frozenset[Hashable]:
    """The keys of problems: what no training may show."""
    return frozenset(problem_key(problem.problem, base_model) for problem in problems)


def _plugins() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


__all__ = [
    "GENERAL",
    "MATH",
    "Benchmark",
    "BenchmarkError",
    "Problem",
    "get",
    "held_out_keys",
    "load",
    "names",
    "problem_key",
    "problem_keys",
]
