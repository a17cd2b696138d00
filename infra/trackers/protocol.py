"""The Tracker protocol: rows of numbers in, by series and step; a tracker can be asked what it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class TrackedRun:
    """A run as trackers know it: `id` stays the same however often the run is resumed."""

    id: str
    name: str
    folder: Path
    """Absolute: where files of the tracker lie."""
    config: Mapping[str, Any]
    """The resolved configuration, JSON."""


@dataclass(frozen=True)
class Row:
    """Numbers at one step of a series, each named `<series>/<name>`; steps of a series rise."""

    series: str
    step: int
    values: Mapping[str, float]
    links: Mapping[str, str] = field(default_factory=dict)
    """URIs of artifacts, by name."""

    def named(self) -> dict[str, float]:
        """The values by their full names, and the step as `<series>/step`."""
        values = {**self.values, "step": float(self.step)}
        return {f"{self.series}/{name}": value for name, value in values.items()}


class Tracker(Protocol):
    """One run in one tracker. Whatever a call raises ends the tracking, not the run."""

    def last_step(self, series: str) -> int | None:
        """The newest step that the tracker holds of a series, from whichever process; None for none."""
        ...

    def log(self, row: Row) -> None:
        """Add a row, whole or not at all if that can be."""
        ...

    def flush(self) -> None:
        """Hand what was logged to the file or the server."""
        ...

    def close(self, finished: bool) -> None:
        """Flush and end; `finished` says that nothing of the run is left to do."""
        ...
