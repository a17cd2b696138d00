"""From a configuration to a sampler. The backend X is `infra/samplers/X.py`, which exposes `open_backend`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from infra.samplers.protocol import Sampler

if TYPE_CHECKING:
    from data.backends import SamplerConfig

_lock = threading.Lock()
_shared: tuple[tuple[SamplerConfig, Path], Sampler] | None = None


def open_sampler(config: SamplerConfig, model_dir: Path) -> Sampler:
    """Load the Hugging Face model directory into the configured backend.

    Raises ModelDirectoryError or DeviceSetupError, in one line, for bad input.
    """
    sampler: Sampler = import_module(f"infra.samplers.{config.backend}").open_backend(config, model_dir)
    return sampler


@contextlib.contextmanager
def shared_sampler(config: SamplerConfig, model_dir: Path) -> Iterator[Sampler]:
    """The sampler of this model, for one thread at a time; it stays open until `release_sampler`.

    The shards of a stage share it, so that an engine starts only once.
    """
    global _shared
    with _lock:
        if _shared is None or _shared[0] != (config, model_dir):
            _close()
            _shared = ((config, model_dir), open_sampler(config, model_dir))
        try:
            yield _shared[1]
        except BaseException:
            # Its engine may have failed: the next shard gets a new one.
            _close()
            raise


def release_sampler() -> None:
    """Close the shared sampler, if one is open, and free its device."""
    with _lock:
        _close()


def _close() -> None:
    global _shared
    if _shared is not None:
        closing, _shared = _shared, None
        closing[1].close()
