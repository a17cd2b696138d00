"""Benchmarks: sets of problems with right answers. Each file here declares one; its name is the file's.

Another package adds its own with an entry point of the group `rzero.benchmarks` that names a `Benchmark`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data.benchmark import Benchmark, BenchmarkError, Problem
from data.registry import Registry

if TYPE_CHECKING:
    from data.config import BaseModelConfig

MATH = ("amc23", "minerva", "math500", "gsm8k", "olympiadbench", "aime2025", "aime2024")
GENERAL = ("supergpqa", "mmlu_pro", "bbeh")
"""What the paper's two averages are taken over."""

_REGISTRY = Registry("data.benchmarks", Benchmark, BenchmarkError)
names = _REGISTRY.names
get = _REGISTRY.get


def load(name: str, base_model: BaseModelConfig) -> list[Problem]:
    """The problems of a benchmark, the same on each call; `problem_id` counts from 0.

    Raises BenchmarkError (a ValueError), in one line, for an unknown name, and for data that are missing
    or have another shape.
    """
    benchmark = get(name)
    if benchmark.generate is not None:
        return benchmark.generate(base_model)
    from data.benchmark_files import read_problems

    return read_problems(name, benchmark)
