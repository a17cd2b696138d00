"""The tokens of a rollout."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sequences:
    """The token ids of one rollout: its prompt, and every sampled token, the end token included."""

    prompt: tuple[int, ...]
    completion: tuple[int, ...]
    clip_high: float | None = None
    """The upper clip of its tokens' probability ratios; None: that of the configuration."""
