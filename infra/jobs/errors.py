"""What can go wrong with a device job, by what the caller should do about it."""

from __future__ import annotations


class DeviceError(RuntimeError):
    """A device job that did not do its work; nothing of it is left running."""

    retryable = False


class DeviceSetupError(DeviceError):
    """The job cannot be started as configured; the message says what to change."""


class DeviceCrash(DeviceError):
    """The process died, or its engine did: the same may succeed in a new one."""

    retryable = True


class DeviceOutOfMemory(DeviceCrash):
    """The memory of the device or of the machine was not enough; it may be on an emptier one."""


class DeviceHang(DeviceCrash):
    """The process was silent for too long and was ended."""


_MEMORY_SIGNS = (
    "out of memory",
    "outofmemoryerror",
    "cuda error: out of memory",
    "no available memory for the cache blocks",
    "free memory on device",
    "cannot allocate memory",
    "defaultcpuallocator: can't allocate memory",
    "larger than the available kv cache memory",
    "larger than the maximum number of tokens that can be stored in kv cache",
)


def is_memory(text: str) -> bool:
    """Whether a message of an engine says that memory was not enough."""
    lowered = text.lower()
    return any(sign in lowered for sign in _MEMORY_SIGNS)
