"""Configurations that an earlier version of rzero wrote, brought to today's fields.

A store outlives a version. Each step below turns one older spelling into the next; a configuration that
has today's fields passes through unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Values = dict[str, Any]

STEPS: tuple[Callable[[Values], Values], ...] = ()
"""From the oldest spelling to the newest; each takes and returns the whole configuration."""


def upgraded(values: Values) -> Values:
    """The values of a frozen configuration with today's names."""
    for step in STEPS:
        values = step(values)
    return values
