"""What a report is made from: runs with their finished steps, and their tables, read from the store."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from data.config import RunConfig
from data.section import dotted
from flows.summary import FinishedStep, read_steps
from flows.text import all_finished
from infra.artifacts.artifact import ArtifactRef, Manifest, read_table, table_files
from infra.artifacts.runs import MAY_DIFFER, known_run
from infra.artifacts.verify import changed_files
from infra.store.store import Store
from tasks.stage.graph import STAGES
from tasks.stage.walk import Step

_NOT_OF_A_LINE = ("run", "seed", "preset", *MAY_DIFFER)
"""Settings in which the runs of one line may differ."""


@dataclass(frozen=True)
class Run:
    """A run with all its steps, finished or not, from the base model on."""

    store: Store
    config: RunConfig
    steps: tuple[FinishedStep, ...]

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.config.run

    @property
    def unfinished(self) -> list[Step]:
        """What is still to be done; not what earlier versions did within a stage that is there."""
        done_within = {
            (item.step.iteration, source.made_as)
            for item in self.steps
            if item.manifest
            for name, source in STAGES[item.step.stage].inputs.items()
            if name not in item.manifest.inputs and not source.before
        }
        missing = [item.step for item in self.steps if item.manifest is None]
        return [step for step in missing if (step.iteration, step.stage) not in done_within]

    @property
    def last_iteration(self) -> int:
        """The last finished iteration; 0 for the base model alone, -1 if not even that is finished."""
        return min([step.iteration - 1 for step in self.unfinished] or [self.steps[-1].step.iteration])

    @property
    def progress(self) -> str:
        """How far the run has come, in words."""
        if not self.unfinished:
            return all_finished(self.steps[-1].step.iteration)
        first = self.unfinished[0]
        there = [item for item in self.steps if item.step.iteration == first.iteration]
        done = sum(item.manifest is not None for item in there)
        name = f"iteration {first.iteration}" if first.iteration else "the base model"
        return f"{name}: {done} of {len(there)} stages are finished, goes on at {first.stage}"

    def artifact(self, iteration: int, stage: str) -> tuple[ArtifactRef, Manifest] | None:
        """A finished artifact with its manifest; None if it is unfinished."""
        for item in self.steps:
            if (item.step.iteration, item.step.stage) == (iteration, stage):
                return (item.step.ref, item.manifest) if item.step.ref and item.manifest else None
        return None

    def table(
        self, iteration: int, stage: str, side_table: str | None = None, columns: Sequence[str] | None = None
    ) -> pl.DataFrame | None:
        """A table of a finished stage; None if the stage is unfinished or has no such table."""
        found = self.artifact(iteration, stage)
        if not found or not table_files(found[1], side_table):
            return None
        frame: Any = pl.from_arrow(read_table(self.store, found[0], side_table, columns))
        return frame

    def iterations(self) -> list[int]:
        """The iterations of which anything is finished."""
        return sorted({item.step.iteration for item in self.steps if item.manifest})


@dataclass(frozen=True)
class Line:
    """Runs of one configuration that differ at most in their seed: one line in every chart."""

    label: str
    runs: tuple[Run, ...]


def read_runs(store: Store, names: Sequence[str]) -> list[Run]:
    """The runs of these names, each once; ConfigError for a name that the store does not have."""
    runs = []
    for name in dict.fromkeys(names):
        config = known_run(store, name)
        folders = [entry.partition("=") for entry in store.names(f"runs/{name}")]
        begun = [int(number) for word, _, number in folders if word == "iteration" and number.isdigit()]
        steps = [
            _with_whole_tables(store, item)
            for item in read_steps(store, config, max([config.iterations, *begun]))
        ]
        finished = [item.step.iteration for item in steps if item.manifest]
        last = max([config.iterations, *finished])
        runs.append(Run(store, config, tuple(item for item in steps if item.step.iteration <= last)))
    return runs


def _with_whole_tables(store: Store, item: FinishedStep) -> FinishedStep:
    """The step; as a damaged one if a table of it is not what its manifest says, byte for byte."""
    step, manifest = item.step, item.manifest
    if manifest is None or step.location is None:
        return item
    changed = changed_files(
        store, step.location, [file for file in manifest.files if file.name.endswith(".parquet")]
    )
    return FinishedStep(replace(step, ref=None, damage=changed[0]), None) if changed else item


def lines_of(runs: Sequence[Run]) -> list[Line]:
    """The runs in lines: those that differ at most in their seed stand together."""
    alike: dict[str, list[Run]] = {}
    for run in runs:
        settings = run.config.model_dump_json(exclude=set(_NOT_OF_A_LINE))
        alike.setdefault(settings, []).append(run)
    lines: list[Line] = []
    for members in alike.values():
        names = [run.name for run in members]
        label = _label(names)
        if label in (line.label for line in lines):
            label = ", ".join(names)
        lines.append(Line(label, tuple(members)))
    return lines


def _label(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    alike = itertools.takewhile(lambda characters: len(set(characters)) == 1, zip(*names, strict=False))
    shared = "".join(characters[0] for characters in alike).rstrip("-_.0123456789")
    for ending in ("-seed", "_seed", ".seed", "-s", "_s", ".s"):
        shared = shared.removesuffix(ending)
    return f"{shared or names[0] + ' and others'} ({len(names)} runs)"


def collect(
    lines: Sequence[Line], stage: str, side_table: str | None = None, columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """A table of all runs and iterations in one, with `line`, `run` and `iteration` before its columns.

    The frame is empty, without columns, if nothing is finished.
    """
    parts = [
        frame.select(
            pl.lit(line.label).alias("line"),
            pl.lit(run.name).alias("run"),
            pl.lit(iteration, dtype=pl.Int64).alias("iteration"),
            pl.all(),
        )
        for line in lines
        for run in line.runs
        for iteration in run.iterations()
        if (frame := run.table(iteration, stage, side_table, columns)) is not None
    ]
    return pl.concat(parts, how="diagonal") if parts else pl.DataFrame()


def of_line(frame: pl.DataFrame, line: Line) -> pl.DataFrame:
    """The rows of one line."""
    return frame if frame.is_empty() else frame.filter(pl.col("line") == line.label)


def config_differences(runs: Sequence[Run]) -> list[tuple[str, list[Any]]]:
    """Settings that differ between the runs, other than name and store, with the value of each run."""
    flat = [
        {name: value for name, value in dotted(run.config.model_dump(mode="json")) if value != {}}
        for run in runs
    ]
    names = list(dict.fromkeys(name for config in flat for name in config))
    rows = [(name, [config.get(name) for config in flat]) for name in names if name not in ("run", "store")]
    return [(name, values) for name, values in rows if any(value != values[0] for value in values)]
