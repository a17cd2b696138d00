"""The device that trains: which one it is, its threads and determinism, and running out of its memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

from infra.machine.memory import OutOfMemory, is_out_of_memory

_settings: Any = torch.utils.deterministic


def training_device(name: str) -> torch.device:
    """The configured device; 'auto' is the first GPU where there is one, else the CPU."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


@contextlib.contextmanager
def device_work(device: torch.device, threads: int, where: str, micro_batch_size: int) -> Iterator[None]:
    """Use the configured threads within, and the process's own outside, as the reward function does.

    On a CPU only deterministic operations are allowed. Raises OutOfMemory, which says `where` it happened
    and what to try.
    """
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    fill = _settings.fill_uninitialized_memory
    torch.set_num_threads(threads)
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
        # Filling fresh tensors guards against reading them before they are set; here it only costs time.
        _settings.fill_uninitialized_memory = False
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"{where}: out of memory on {device} ({str(error).splitlines()[0]}); try a micro_batch_size "
            f"below {micro_batch_size}, a smaller max_tokens, or dtype bfloat16"
        ) from error
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        _settings.fill_uninitialized_memory = fill
