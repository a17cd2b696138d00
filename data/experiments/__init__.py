"""Experiments: named variants of a run, each a set of overrides, one YAML file an experiment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from data.resolve import ConfigError, read_yaml


@dataclass(frozen=True)
class Variant:
    """One variant: its name (part of the names of its runs), what it asks, what it overrides."""

    name: str
    question: str
    overrides: dict[str, Any]


def load_variants(experiment: str, chosen: tuple[str, ...] = ()) -> list[Variant]:
    """The variants of an experiment in its order, or those of them that are chosen; ConfigError else."""
    variants = [
        Variant(name, entry["question"], entry.get("overrides") or {})
        for name, entry in read_yaml("data.experiments", "experiment", experiment).items()
    ]
    names = [variant.name for variant in variants]
    for name in chosen:
        if name not in names:
            raise ConfigError(
                f"experiment {experiment!r} has no variant {name!r}; it has: {', '.join(names)}"
            )
    return [variant for variant in variants if not chosen or variant.name in chosen]
