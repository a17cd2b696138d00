"""What a check of this machine says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    `mend` is the command that fixes it; `needed_for` says what does not work without it.
    """

    name: str
    ok: bool
    found: str
    needed_for: str
    mend: str = ""
