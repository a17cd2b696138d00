"""What runs in the device environment for these tests alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.jobs.channel import Channel
from infra.trainers.verl.child import compose, validate


def check(spec: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """Whether verl accepts each of `spec["settings"]` (by name): what is wrong with those it does not."""
    from verl.utils.config import omega_conf_to_dataclass

    problems = {}
    for name, settings in spec["settings"].items():
        try:
            config = compose(settings)
            validate(config)
            # These have checks of their own; the model's would look for its files.
            for section in ("actor", "rollout"):
                omega_conf_to_dataclass(config.actor_rollout_ref[section])
            omega_conf_to_dataclass(config.algorithm)
        except Exception as error:
            problems[name] = f"{type(error).__name__}: {error}"
    return problems
