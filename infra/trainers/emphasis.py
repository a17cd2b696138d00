"""What of its batches a training dwells on, prompt by prompt. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Emphasis:
    """By default all alike, as in the paper."""

    weights: Sequence[float] = ()
    """Of each prompt: what its rollouts' advantages are multiplied by; empty: 1."""
    clip_highs: Sequence[float] = ()
    """Of each prompt: its upper clip; empty: the configuration's `clip_high`."""
    drop_flat_groups: bool = False
    """Whether groups whose rewards are all equal are left out of the update."""

    def weighed(self, advantages: Sequence[float], prompts: Sequence[int]) -> list[float]:
        """The advantages of rollouts of these prompts (by index), as the update is to take them."""
        if not self.weights:
            return list(advantages)
        return [value * self.weights[index] for value, index in zip(advantages, prompts, strict=True)]

    def clip_high(self, prompt: int) -> float | None:
        """The upper clip of a prompt (by index); None: the configuration's."""
        return self.clip_highs[prompt] if self.clip_highs else None

    def trained(self, rewards: Sequence[float], group_size: int) -> list[int]:
        """Numbers of the rollouts that the update takes, of rollouts that stand group after group."""
        starts = range(0, len(rewards), group_size)
        groups = [range(first, first + group_size) for first in starts]
        if self.drop_flat_groups:
            groups = [group for group in groups if len({rewards[number] for number in group}) > 1]
        return [number for group in groups for number in group]


ALL_ALIKE = Emphasis()
