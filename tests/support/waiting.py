"""Waiting for something that another process does."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(
    is_so: Callable[[], bool],
    otherwise: Callable[[], str],
    timeout_seconds: float = 180.0,
    every_seconds: float = 0.2,
) -> None:
    """Ask until it is so; where it never is, fails with what `otherwise` says then."""
    deadline = time.monotonic() + timeout_seconds
    while not is_so():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(every_seconds)
