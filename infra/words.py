"""Words of messages."""

from __future__ import annotations


def plural(count: int, what: str) -> str:
    """A count with its noun: `1 iteration`, `3 iterations`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
