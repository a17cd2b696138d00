"""Where verl's trainer waits for the rollouts of a step; runs in its Ray actor."""

from __future__ import annotations

from typing import Any

from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

_LOOK_EVERY_SECONDS = 0.2


class PromptReplayBuffer(ReplayBuffer):
    """verl's own, which looks for finished rollouts only every two seconds: as long as a small step takes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(poll_interval=_LOOK_EVERY_SECONDS, **options)
