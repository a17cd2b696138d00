"""What a program has left behind."""

from __future__ import annotations

import contextlib
from pathlib import Path


def processes_with(mark: str) -> dict[int, str]:
    """The living processes that inherited this variable ('NAME=value'), with their commands."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_text().replace("\0", " ")
            if command and mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = command
    return found


def ownerless_segments() -> set[Path]:
    """The shared memory of Python and of vLLM that no living process has mapped.

    One that is mapped may be that of another program on this machine.
    """
    names = ("psm_*", "vllm_dist_*")
    segments = {path for name in names for path in Path("/dev/shm").glob(name)}
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            mapped = maps.read_text()
            segments = {segment for segment in segments if str(segment) not in mapped}
    return segments
