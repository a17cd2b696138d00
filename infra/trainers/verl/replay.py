"""Where verl's trainer waits for the rollouts of a step; runs in its Ray actor."""

from __future__ import annotations

import time
from typing import Any

from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

_SHORTEST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.1, 2.0
_WAIT_SHARE = 0.05


class PromptReplayBuffer(ReplayBuffer):
    """Waits 5 % of the time that has passed so far between polls, 0.1 to 2 s.

    verl's own polls every two seconds, which is as long as a small step takes.
    """

    def sample(self, *arguments: Any, **named: Any) -> Any:
        """The rollouts of a step, once they are all there."""
        self._asked = time.monotonic()
        return super().sample(*arguments, **named)

    def _wait_for_next_poll(self, *arguments: Any) -> Any:
        waited = time.monotonic() - self._asked
        self.poll_interval = min(max(_WAIT_SHARE * waited, _SHORTEST_WAIT_SECONDS), _LONGEST_WAIT_SECONDS)
        return super()._wait_for_next_poll(*arguments)
