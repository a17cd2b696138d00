"""Trainers: GRPO on a model with a reward function, whatever engine does it."""

from infra.trainers.open import open_trainer
from infra.trainers.protocol import (
    Checkpoints,
    Reward,
    Rollout,
    ScoredRollout,
    Trainer,
    TrainingJob,
    TrainingResult,
)

__all__ = [
    "Checkpoints",
    "Reward",
    "Rollout",
    "ScoredRollout",
    "Trainer",
    "TrainingJob",
    "TrainingResult",
    "open_trainer",
]
