"""What can go wrong in a training."""

from __future__ import annotations


class TrainingError(RuntimeError):
    """A training that cannot go on; another attempt would fail too."""

    retryable = False


class NonFiniteError(TrainingError):
    """A loss, a gradient or a weight became infinite or not a number; nothing of it was saved."""


class RewardError(TrainingError):
    """The reward function did not return one finite reward for each rollout."""


class CheckpointError(TrainingError):
    """A checkpoint that does not belong to this job or cannot be read."""
