"""What the checkpoints of every trainer hold beside its weights, as Parquet and JSON, never pickle.

    rollouts.parquet, metrics.parquet ...   the rows of all steps so far
    state.json                              step, fingerprint of the job, and values of the trainer's own

Random numbers have no state: seeds are derived from the job's seed and the step.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infra.store.tables import parquet_bytes
from infra.trainers.errors import CheckpointError
from infra.trainers.protocol import TrainingJob

_FORMAT = 1


def write_state(
    folder: Path, job: TrainingJob, step: int, tables: Mapping[str, pa.Table], **values: Any
) -> None:
    """Write the tables by name, and the state after a step with `values` (JSON)."""
    for name, table in tables.items():
        (folder / f"{name}.parquet").write_bytes(parquet_bytes(table))
    content = {"format": _FORMAT, "step": step, **values, "fingerprint": job.fingerprint}
    (folder / "state.json").write_text(json.dumps(content, indent=1))


def read_state(
    folder: Path, job: TrainingJob, names: Iterable[str]
) -> tuple[dict[str, Any], dict[str, pa.Table]]:
    """The state and the tables of these names; CheckpointError if they belong to another job."""
    content = json.loads((folder / "state.json").read_text())
    if content.get("format") != _FORMAT:
        raise CheckpointError(f"{folder}: a checkpoint of format {content.get('format')}, not {_FORMAT}")
    if content["fingerprint"] != job.fingerprint:
        raise CheckpointError(
            f"{folder}: this checkpoint is of a {job.role} training with another config, seed or prompts"
        )
    return content, {name: pq.read_table(folder / f"{name}.parquet") for name in names}


@contextlib.contextmanager
def readable(folder: Path, *errors: type[Exception]) -> Iterator[None]:
    """Turn what reading the folder raises, `errors` included, into CheckpointError."""
    try:
        yield
    except (OSError, KeyError, ValueError, pa.ArrowException, *errors) as error:
        raise CheckpointError(f"{folder}: the checkpoint cannot be read: {error!r}") from error
