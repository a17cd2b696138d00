"""What can go wrong with a device job."""

from __future__ import annotations

from infra.machine.memory import OutOfMemory


class DeviceError(RuntimeError):
    """A device job failed; none of its processes is left."""

    retryable = False


class DeviceSetupError(DeviceError):
    """The job cannot be done as configured; the message says what to change."""


class DeviceCrash(DeviceError):
    """The process or its engine died; a new one may succeed."""

    retryable = True


class DeviceOutOfMemory(DeviceCrash, OutOfMemory):
    """The device or the machine ran out of memory; an emptier one, or smaller batches, may succeed."""


class DeviceHang(DeviceCrash):
    """The process was silent for too long."""


_MEMORY_SIGNS = (
    "out of memory",
    "outofmemoryerror",
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
