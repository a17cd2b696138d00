"""What the tests of the device environment call left behind."""

from __future__ import annotations

from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

from tests.support.left import ownerless_segments


def test_shared_memory_is_left_behind_once_no_process_has_it_mapped() -> None:
    segment = SharedMemory(create=True, size=64)
    path = Path("/dev/shm") / segment.name
    try:
        assert path not in ownerless_segments()
        segment.close()
        assert path in ownerless_segments()
    finally:
        segment.unlink()
