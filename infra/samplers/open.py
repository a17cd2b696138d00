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

_turn = threading.Condition()
_users = 0
_shared: tuple[tuple[SamplerConfig, Path], Sampler] | None = None


def open_sampler(config: SamplerConfig, model_dir: Path) -> Sampler:
    """Load the Hugging Face model directory into the configured backend.

    Raises ModelDirectoryError or DeviceSetupError, in one line, for bad input.
    """
    sampler: Sampler = import_module(f"infra.samplers.{config.backend}").open_backend(config, model_dir)
    return sampler


@contextlib.contextmanager
def shared_sampler(config: SamplerConfig, model_dir: Path) -> Iterator[Sampler]:
    """The sampler of this model, for as many threads at a time as it allows; open until `release_sampler`.

    The shards of a stage share it, so that an engine starts only once, and draws for the next shard while the
    last sequences of one are still under way. Who wants another model waits until nobody uses this one.
    """
    global _shared, _users
    wanted = (config, model_dir)
    with _turn:
        _turn.wait_for(lambda: _users == 0 or _has_room(wanted))
        if _users == 0 and not _has_room(wanted):
            _close()
            _shared = (wanted, open_sampler(config, model_dir))
        assert _shared is not None
        sampler = _shared[1]
        _users += 1
    try:
        yield sampler
    except BaseException:
        with _turn:
            if _users == 1:
                # Its engine may have failed: the next shard gets a new one.
                _close()
        raise
    finally:
        with _turn:
            _users -= 1
            _turn.notify_all()


def release_sampler() -> None:
    """Close the shared sampler, if one is open that nobody uses, and free its device."""
    with _turn:
        if _users == 0:
            _close()


def _has_room(wanted: tuple[SamplerConfig, Path]) -> bool:
    """Whether the shared sampler is the wanted one, and one more may use it."""
    if _shared is None or _shared[0] != wanted:
        return False
    return not _shared[1].is_lost and _users < _shared[1].calls_at_once


def _close() -> None:
    global _shared
    if _shared is not None:
        closing, _shared = _shared, None
        closing[1].close()
