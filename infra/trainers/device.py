"""The device that trains: which one, how it is set, and what its running out of memory means."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from infra.machine.memory import is_out_of_memory
from infra.trainers.errors import OutOfMemoryError

_settings: Any = torch.utils.deterministic


def training_device(name: str) -> torch.device:
    """The configured device; 'auto' is the first GPU where there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


@contextlib.contextmanager
def device_work(device: torch.device, threads: int, where: str, micro_batch_size: int) -> Iterator[None]:
    """Work on the device with the configured threads, put back afterwards: the reward function has its own.

    On a CPU only deterministic operations are allowed. Raises OutOfMemoryError, saying `where` it was and
    what to try, where the device's memory does not suffice.
    """
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    fill = _settings.fill_uninitialized_memory
    torch.set_num_threads(threads)
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
        # Filling every fresh tensor guards against reading it unset; it costs time and decides nothing.
        _settings.fill_uninitialized_memory = False
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            f"{where}: out of memory on {device} ({str(error).splitlines()[0]}); try a micro_batch_size "
            f"below {micro_batch_size}, a smaller max_tokens, or dtype bfloat16"
        ) from error
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        _settings.fill_uninitialized_memory = fill
