"""Trainers: GRPO on a model with a reward function, whatever engine does it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.backends import TrainerConfig
    from infra.trainers.protocol import Trainer


def open_trainer(config: TrainerConfig) -> Trainer:
    """The configured backend: X is the module or package `infra.trainers.X`, which exposes `open_backend`."""
    trainer: Trainer = import_module(f"infra.trainers.{config.backend}").open_backend(config)
    return trainer
