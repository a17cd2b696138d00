"""Running out of memory: how it is known, whatever the device, and as what it is raised."""

from __future__ import annotations


class OutOfMemory(MemoryError):
    """Not even the smallest batch fits; the message says what to try. On an emptier device it may."""

    retryable = True


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of torch, or of Python, says that a device's memory did not suffice."""
    # torch's class is told by its name, so that torch is not imported; its CPU allocator has none.
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, MemoryError) or "OutOfMemoryError" in names or "allocate memory" in str(error)


def free_memory() -> None:
    """Give back what dropped tensors held; for after an error, once its traceback is gone."""
    import gc
    import sys

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
