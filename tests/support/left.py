"""What a program has left running."""

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
