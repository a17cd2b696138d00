"""The tiny model and its prompts, for benchmarks that are given no model of their own."""

from __future__ import annotations

import random
from pathlib import Path


def pretrain_briefly(folder: Path, steps: int, threads: int) -> None:
    """Write a tiny model of so many steps: as fast as the demo's, but its answers have other lengths."""
    from data.tiny.pretrain import pretrain
    from data.tiny.settings import TinyModelConfig

    pretrain(TinyModelConfig(training_steps=steps), 0, folder, threads, lambda step, metrics: None)


def solver_prompts(count: int, terms: int) -> list[str]:
    """Prompts of the Solver: sums of 2 to `terms` numbers, the longer ones a little rarer."""
    from data.tiny.arithmetic import geometric_lengths, random_chain, random_length

    rng = random.Random(0)
    lengths = geometric_lengths(terms, 0.95)
    return [f"<|solver|>{random_chain(rng, random_length(rng, lengths)).question}\n" for _ in range(count)]
