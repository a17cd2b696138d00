"""Weights & Biases, offline: one file a process in `<folder>/wandb`, all with the run's id."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wandb
from wandb.proto.wandb_internal_pb2 import Record

from infra.trackers.protocol import Row, TrackedRun, Tracker

if TYPE_CHECKING:
    from data.backends import WandbConfig

_BLOCK, _HEAD, _FILE_HEAD = 32768, 7, 7
_WHOLE_OR_LAST = (1, 4)


class WandbTracker(Tracker):
    """W&B counts rows itself; `<series>/step` is what each series is drawn over."""

    def __init__(self, config: WandbConfig, run: TrackedRun) -> None:
        self._steps: dict[str, int] = {}
        self._rows = 0
        for file in sorted(run.folder.glob(f"wandb/offline-run-*-{run.id}/*.wandb")):
            for row in _rows(file):
                self._rows = max(self._rows, int(row["_step"]) + 1)
                self._steps |= {name: int(value) for name, value in row.items() if name.endswith("/step")}
        self._run = wandb.init(
            project=config.project,
            id=run.id,
            name=run.name,
            dir=str(run.folder),
            config=dict(run.config),
            mode="offline",
            settings=wandb.Settings(
                console="off",
                silent=True,
                disable_git=True,
                disable_code=True,
                x_disable_meta=True,
                x_disable_machine_info=True,
                x_disable_stats=True,
                x_save_requirements=False,
            ),
        )

    def last_step(self, series: str) -> int | None:
        return self._steps.get(f"{series}/step")

    def log(self, row: Row) -> None:
        step = f"{row.series}/step"
        self._run.define_metric(step, hidden=True)
        self._run.define_metric(f"{row.series}/*", step_metric=step)
        self._run.log(row.named(), step=self._rows, commit=True)
        self._rows += 1
        for name, uri in row.links.items():
            self._run.summary[f"artifacts/{name}"] = uri

    def flush(self) -> None:
        """W&B's own process writes by itself, within seconds."""

    def close(self, finished: bool) -> None:
        self._run.finish()


def _rows(file: Path) -> Iterator[dict[str, float]]:
    """The numbers of each logged row."""
    for record in records_of(file):
        items = {item.key or item.nested_key[0]: item.value_json for item in record.history.item}
        values = {name: json.loads(value) for name, value in items.items()}
        if values:
            yield {name: value for name, value in values.items() if isinstance(value, int | float)}


def records_of(file: Path) -> Iterator[Any]:
    """W&B's records, up to where a killed process left off.

    The file is a log in LevelDB's format: blocks of fragments, each with a checksum, a length and a kind.
    """
    content, at, record = file.read_bytes(), _FILE_HEAD, b""
    while at + _HEAD <= len(content):
        room = _BLOCK - at % _BLOCK
        size, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        if room < _HEAD or kind == 0:
            at += room
            continue
        if at + _HEAD + size > len(content):
            return
        record += content[at + _HEAD : at + _HEAD + size]
        at += _HEAD + size
        if kind in _WHOLE_OR_LAST:
            yield Record.FromString(record)
            record = b""


open_backend = WandbTracker
