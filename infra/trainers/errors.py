"""What can go wrong in a training, by what the caller should do about it."""

from __future__ import annotations


class TrainingError(RuntimeError):
    """A training that cannot go on; trying the same again would fail again."""

    retryable = False


class NonFiniteError(TrainingError):
    """A loss, a gradient or a weight became infinite or not a number; nothing of it was saved."""


class RewardError(TrainingError):
    """The reward function returned something that is not one finite reward a rollout."""


class CheckpointError(TrainingError):
    """A checkpoint that does not belong to this job or cannot be read."""


class OutOfMemoryError(TrainingError):
    """The device's memory was not enough: the same may succeed on an emptier or larger device."""

    retryable = True
