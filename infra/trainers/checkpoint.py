"""What the checkpoints of every trainer hold beside its weights, as Parquet and JSON, never pickle.

    rollouts.parquet, metrics.parquet ...   the rows of all steps so far
    state.json                              step, fingerprint of the job, and values of the trainer's own

Random numbers have no state: seeds are derived from the job's seed and the step.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, NonNegativeInt

from infra.store.tables import parquet_bytes
from infra.trainers.errors import CheckpointError
from infra.trainers.protocol import TrainingJob

_FORMAT = 1
_LONGEST_STATE_BYTES = 1 << 24


class State(BaseModel):
    """What state.json says; each trainer writes the values that it reads."""

    model_config = ConfigDict(strict=True, frozen=True)

    format: int
    step: int
    fingerprint: str
    updates: NonNegativeInt = 0
    """Of `local`: how often the weights have been changed."""
    workers: int = 1
    """Of `verl`: how many processes the checkpoint is cut for."""
    paths: dict[str, str] = {}
    """Of `verl`: where its files belong, by their names in the checkpoint."""


def write_state(
    folder: Path, job: TrainingJob, step: int, tables: Mapping[str, pa.Table], **values: Any
) -> None:
    """Write the tables by name, and the state after a step with `values` (JSON)."""
    for name, table in tables.items():
        (folder / f"{name}.parquet").write_bytes(parquet_bytes(table))
    content = {"format": _FORMAT, "step": step, **values, "fingerprint": job.fingerprint}
    (folder / "state.json").write_text(json.dumps(content, indent=1))


def read_state(
    folder: Path, job: TrainingJob, schemas: Mapping[str, pa.Schema]
) -> tuple[State, dict[str, pa.Table]]:
    """The state and the tables with these names and schemas.

    CheckpointError if they belong to another job; ValueError if they are not what was written.
    """
    with (folder / "state.json").open("rb") as file:
        state = State.model_validate_json(file.read(_LONGEST_STATE_BYTES))
    if state.format != _FORMAT:
        raise CheckpointError(f"{folder}: a checkpoint of format {state.format}, not {_FORMAT}")
    if state.fingerprint != job.fingerprint:
        raise CheckpointError(
            f"{folder}: this checkpoint is of a {job.role} training with another config, seed or prompts"
        )
    if not 0 < state.step <= job.config.steps:
        raise ValueError(f"step {state.step} of {job.config.steps}")
    tables = {name: pq.read_table(folder / f"{name}.parquet") for name in schemas}
    for name, table in tables.items():
        if not table.schema.equals(schemas[name]):
            raise ValueError(f"{name}.parquet has other columns")
    return state, tables


@contextlib.contextmanager
def readable(folder: Path, *errors: type[Exception]) -> Iterator[None]:
    """Turn what reading the folder raises, `errors` included, into CheckpointError."""
    try:
        yield
    except (OSError, KeyError, ValueError, pa.ArrowException, *errors) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise CheckpointError(f"{folder}: the checkpoint cannot be read: {said}") from error
