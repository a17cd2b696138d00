"""Benchmarks: sets of problems with right answers. Each file here declares one, under the file's name.

Another package adds its own by an entry point of the group `rzero.benchmarks` that names a `Benchmark`. Names
that begin with `reasoning_gym:` ask for a task of that package (data/reasoning_gym.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data import reasoning_gym
from data.benchmark import Benchmark, BenchmarkError, Problem
from data.registry import Registry

if TYPE_CHECKING:
    from data.config import BaseModelConfig

_REGISTRY = Registry("data.benchmarks", Benchmark, BenchmarkError)
names = _REGISTRY.names


def get(name: str) -> Benchmark:
    """The benchmark of this name; BenchmarkError, in one line, where there is none."""
    return reasoning_gym.benchmark_of(name) if reasoning_gym.is_one(name) else _REGISTRY.get(name)


def load(name: str, base_model: BaseModelConfig) -> list[Problem]:
    """The problems of a benchmark, the same on each call; `problem_id` counts from 0.

    Raises BenchmarkError (a ValueError), in one line, for an unknown name and for missing or misshapen data.
    """
    benchmark = get(name)
    if benchmark.generate is not None:
        return benchmark.generate(base_model)
    if benchmark.make is not None:
        return benchmark.make()
    from data.benchmark_files import read_problems

    return read_problems(name, benchmark)
