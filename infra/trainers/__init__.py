"""Trainers: GRPO on a model with a reward function, whatever engine does it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from data.backends import TrainerConfig


def open_trainer(config: TrainerConfig) -> Trainer:
    """The configured backend: X is the module or package `infra.trainers.X`, which exposes `open_backend`."""
    trainer: Trainer = import_module(f"infra.trainers.{config.backend}").open_backend(config)
    return trainer
