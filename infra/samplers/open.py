"""From a configuration to a sampler. The backend X is `infra/samplers/X.py`, which exposes `open_backend`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from infra.samplers.protocol import Sampler

if TYPE_CHECKING:
    from data.backends import SamplerConfig


def open_sampler(config: SamplerConfig, model_dir: Path) -> Sampler:
    """Load the Hugging Face model directory into the configured backend.

    Raises ModelDirectoryError or DeviceSetupError, in one line, for bad input.
    """
    sampler: Sampler = import_module(f"infra.samplers.{config.backend}").open_backend(config, model_dir)
    return sampler
