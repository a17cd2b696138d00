"""From a configuration to a trainer. The backend X is the module or package `infra.trainers.X`, which exposes
`open_backend`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from infra.trainers.protocol import Trainer

if TYPE_CHECKING:
    from data.backends import TrainerConfig


def open_trainer(config: TrainerConfig) -> Trainer:
    """The configured backend."""
    trainer: Trainer = import_module(f"infra.trainers.{config.backend}").open_backend(config)
    return trainer
