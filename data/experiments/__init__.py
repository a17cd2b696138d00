"""Experiments: named variants of a run, each a set of overrides, one YAML file an experiment."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Any

import yaml

from data.resolve import ConfigError


@dataclass(frozen=True)
class Variant:
    """One variant: its name (part of the names of its runs), what it asks, what it overrides."""

    name: str
    question: str
    overrides: dict[str, Any]


def experiment_names() -> list[str]:
    """Names of the experiments that come with rzero, sorted."""
    files = (item.name for item in resources.files("data.experiments").iterdir())
    return sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml"))


def load_variants(experiment: str, chosen: tuple[str, ...] = ()) -> list[Variant]:
    """The variants of an experiment in its order, or those of them that are chosen; ConfigError else."""
    if experiment not in experiment_names():
        raise ConfigError(
            f"there is no experiment {experiment!r}; there are: {', '.join(experiment_names())}"
        )
    text = resources.files("data.experiments").joinpath(f"{experiment}.yaml").read_text(encoding="utf-8")
    variants = [
        Variant(name, entry["question"], entry.get("overrides") or {})
        for name, entry in yaml.safe_load(text).items()
    ]
    names = [variant.name for variant in variants]
    for name in chosen:
        if name not in names:
            raise ConfigError(
                f"experiment {experiment!r} has no variant {name!r}; it has: {', '.join(names)}"
            )
    return [variant for variant in variants if not chosen or variant.name in chosen]
