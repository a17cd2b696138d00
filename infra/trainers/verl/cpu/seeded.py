"""Seeded draws on a CPU from one random number each.

vLLM's CPU build draws noise for the whole vocabulary, for every row and once more for a row with a seed. A
draw from the same distribution needs one number: where it falls in the sum of the probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def draw(logits: torch.Tensor, generators: Mapping[int, torch.Generator]) -> torch.Tensor:
    """A token for each row of `logits` (rows, vocabulary), drawn with the row's generator; shape (rows,)."""
    rows = range(logits.shape[0])
    # In double precision: the sum of a large vocabulary loses the unlikely tokens in single.
    sums = logits.softmax(dim=-1, dtype=torch.float64).cumsum(dim=-1)
    # At most 1 - 2**-24, so that the number times the last sum stays below it.
    numbers = torch.cat([torch.rand(1, generator=generators[row]) for row in rows]).double()
    falls = numbers.unsqueeze(1) * sums[:, -1:]
    return torch.searchsorted(sums, falls, right=True).view(-1)


def draw_seeded_tokens_so() -> None:
    """Let this process's vLLM use `draw` for batches in which every request has a seed."""
    from vllm.v1.sample.ops import topk_topp_sampler as vllm

    theirs, unseeded = vllm.TopKTopPSampler.forward_cpu, vllm.compiled_random_sample
    under_way: list[Mapping[int, torch.Generator]] = []

    def forward_cpu(
        self: Any, logits: torch.Tensor, generators: dict[int, torch.Generator], k: Any, p: Any
    ) -> Any:
        if not generators or len(generators) != logits.shape[0]:
            return theirs(self, logits, generators, k, p)
        under_way.append(generators)
        try:
            return theirs(self, logits, {}, k, p)
        finally:
            under_way.pop()

    def sample(logits: torch.Tensor) -> torch.Tensor:
        return draw(logits, under_way[-1]) if under_way else unseeded(logits)

    vllm.TopKTopPSampler.forward_cpu = forward_cpu
    vllm.compiled_random_sample = sample
