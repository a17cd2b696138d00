"""Experiments: named variants of a run, each an overlay, overrides or both, one YAML file an experiment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from data.resolve import ConfigError, read_yaml, yaml_names


@dataclass(frozen=True)
class Variant:
    """One variant: its name (part of the names of its runs), what it asks, what it lays over a preset."""

    name: str
    question: str
    overlay: str | None
    overrides: dict[str, Any]

    def preset(self, base: str | None) -> str:
        """The preset of its runs, from that of the experiment (None: 'tiny')."""
        return "+".join(filter(None, (base or "tiny", self.overlay)))


def experiment_of(name: str) -> str:
    """Which experiment runs of this name are of, unless told: the one of that name, else the ablations."""
    return name if name in yaml_names("data.experiments") else "ablations"


def load_variants(experiment: str, chosen: tuple[str, ...] = ()) -> list[Variant]:
    """The variants of an experiment in its order, or those of them that are chosen; ConfigError else."""
    variants = [
        Variant(name, entry["question"], entry.get("overlay"), entry.get("overrides") or {})
        for name, entry in read_yaml("data.experiments", "experiment", experiment).items()
    ]
    names = [variant.name for variant in variants]
    for name in chosen:
        if name not in names:
            raise ConfigError(
                f"experiment {experiment!r} has no variant {name!r}; it has: {', '.join(names)}"
            )
    return [variant for variant in variants if not chosen or variant.name in chosen]
