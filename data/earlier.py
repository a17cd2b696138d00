"""Configurations that an earlier version of rzero wrote, brought to today's fields.

A store outlives a version. Each step below turns one older spelling into the next; a configuration that
has today's fields passes through unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Values = dict[str, Any]


def _domain_of_its_own(values: Values) -> Values:
    """The base model's recipe and prompt style used to say what a run was about."""
    base = dict(values.get("base_model", {}))
    if base.get("prompt_style") == "tiny":
        del base["prompt_style"]
    domain = "arithmetic" if base.get("tiny") is not None else "mathematics"
    return {"domain": domain, **values, "base_model": base}


STEPS: tuple[Callable[[Values], Values], ...] = (_domain_of_its_own,)
"""From the oldest spelling to the newest; each takes and returns the whole configuration."""


def upgraded(values: Values) -> Values:
    """The values of a frozen configuration with today's names."""
    for step in STEPS:
        values = step(values)
    return values
