"""Running out of memory, on any device: how to tell, and what to raise."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

batches_shrank: ContextVar[Callable[[int], None] | None] = ContextVar("batches_shrank", default=None)
"""Called with the tokens that fit into memory when a sampler in this process has made its batches smaller."""


class OutOfMemory(MemoryError):
    """The device ran out of memory; the message says what to try. An emptier device may have enough."""

    retryable = True


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of torch or of Python says that memory ran out."""
    # By name, so that torch is not imported; torch's CPU allocator has no class of its own.
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, MemoryError) or "OutOfMemoryError" in names or "allocate memory" in str(error)


def free_memory() -> None:
    """Free what dropped tensors held; call it after an error, once its traceback is gone."""
    import gc
    import sys

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
