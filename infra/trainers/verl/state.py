"""verl's `global_step_<n>` folder as a checkpoint of the store, which is a flat set of files.

state.json               step, fingerprint of the job, number of workers, and the folder's paths by name
rollouts.parquet, metrics.parquet, engine_metrics.parquet     the rows of all steps so far
verl-00000 …             the files of the folder
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infra.store.tables import parquet_bytes
from infra.trainers.errors import CheckpointError

_FORMAT = 1
Tables = Mapping[str, pa.Table]
"""The rows of all steps so far, by the name of their table."""

_TABLES = ("rollouts", "metrics", "engine_metrics")
_NEWEST = "latest_checkpointed_iteration.txt"


def step_folder(checkpoints: Path, step: int) -> Path:
    """Where verl saves the state after a step."""
    return checkpoints / f"global_step_{step}"


def pack(checkpoints: Path, step: int, folder: Path, fingerprint: str, workers: int, tables: Tables) -> None:
    """Put the checkpoint of a step into the empty `folder`; its files are linked, not copied, if possible."""
    source = step_folder(checkpoints, step)
    paths = {}
    for number, file in enumerate(sorted(path for path in source.rglob("*") if path.is_file())):
        name = f"verl-{number:05d}"
        paths[name] = file.relative_to(source).as_posix()
        _link(file, folder / name)
    if not paths:
        raise CheckpointError(f"{source}: verl saved no checkpoint of step {step}")
    for name in _TABLES:
        (folder / f"{name}.parquet").write_bytes(parquet_bytes(tables[name]))
    content = {
        "format": _FORMAT,
        "step": step,
        "fingerprint": fingerprint,
        "workers": workers,
        "paths": paths,
    }
    (folder / "state.json").write_text(json.dumps(content, indent=1))


def unpack(folder: Path, checkpoints: Path, fingerprint: str, workers: int) -> tuple[int, Tables]:
    """Put a checkpoint back where verl looks for its newest; its step and tables.

    CheckpointError where it is of another job, of another number of workers, or cannot be read.
    """
    try:
        content = json.loads((folder / "state.json").read_text())
        if content.get("format") != _FORMAT or "paths" not in content:
            raise CheckpointError(f"{folder}: this is no checkpoint of the trainer 'verl'")
        if content["fingerprint"] != fingerprint:
            raise CheckpointError(f"{folder}: this checkpoint is of another config, seed or prompts")
        if content["workers"] != workers:
            raise CheckpointError(
                f"this training was begun on {content['workers']} GPUs and its checkpoint is cut for them; "
                f"go on with as many, not with {workers}, or remove its checkpoints to begin anew"
            )
        step = int(content["step"])
        target = step_folder(checkpoints, step)
        for name, path in content["paths"].items():
            place = target / path
            if not place.resolve().is_relative_to(target.resolve()):
                raise CheckpointError(f"{folder}: {path} points out of the checkpoint")
            place.parent.mkdir(parents=True, exist_ok=True)
            _link(folder / name, place)
        tables = {name: pq.read_table(folder / f"{name}.parquet") for name in _TABLES}
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise CheckpointError(f"{folder}: the checkpoint cannot be read: {error!r}") from error
    (checkpoints / _NEWEST).write_text(str(step))
    return step, tables


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
