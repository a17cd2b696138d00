"""One sampler kept open between the shards of a stage, so that an engine starts only once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from data.backends import SamplerConfig
from infra.samplers.open import open_sampler
from infra.samplers.protocol import Sampler

_lock = threading.Lock()
_held: tuple[tuple[SamplerConfig, Path], Sampler] | None = None


@contextlib.contextmanager
def shared_sampler(config: SamplerConfig, model_dir: Path) -> Iterator[Sampler]:
    """The sampler of this model, for one thread at a time; it stays open until `release_sampler`."""
    global _held
    with _lock:
        if _held is None or _held[0] != (config, model_dir):
            _close()
            _held = ((config, model_dir), open_sampler(config, model_dir))
        try:
            yield _held[1]
        except BaseException:
            # Its engine may have failed: the next shard gets a new one.
            _close()
            raise


def release_sampler() -> None:
    """Close the sampler that is kept open, if any, and free its device."""
    with _lock:
        _close()


def _close() -> None:
    global _held
    if _held is not None:
        held, _held = _held, None
        held[1].close()
