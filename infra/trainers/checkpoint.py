"""The state of a training as files: safetensors, Parquet and JSON, never pickle.

    model.safetensors       the float32 master weights, by parameter name
    optimizer.safetensors   AdamW's moments: `exp_avg.<name>` and `exp_avg_sq.<name>`
    rollouts.parquet        the rows of all steps so far
    metrics.parquet
    state.json              step, optimiser updates, and the fingerprint of the job

Random numbers have no state: seeds are derived from the job's seed and the step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from infra.store.tables import parquet_bytes
from infra.trainers.errors import CheckpointError
from infra.trainers.job import fingerprint
from infra.trainers.protocol import TrainingJob

_FORMAT = 1
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class TrainingState:
    """What a training knows after a step, beside its weights and moments."""

    step: int
    updates: int
    rollouts: pa.Table
    metrics: pa.Table


def write_checkpoint(
    folder: Path,
    job: TrainingJob,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    state: TrainingState,
) -> None:
    """Write the files into an empty folder."""
    weights = {name: value.detach().contiguous() for name, value in parameters.items()}
    save_file(weights, folder / "model.safetensors")
    moments = {
        f"{moment}.{name}": optimizer.state[value][moment].contiguous()
        for name, value in parameters.items()
        if value in optimizer.state
        for moment in _MOMENTS
    }
    save_file(moments, folder / "optimizer.safetensors")
    (folder / "rollouts.parquet").write_bytes(parquet_bytes(state.rollouts))
    (folder / "metrics.parquet").write_bytes(parquet_bytes(state.metrics))
    content = {
        "format": _FORMAT,
        "step": state.step,
        "updates": state.updates,
        "fingerprint": fingerprint(job),
    }
    (folder / "state.json").write_text(json.dumps(content, indent=1))


def read_checkpoint(
    folder: Path,
    job: TrainingJob,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> TrainingState:
    """Restore the weights and moments in place, and return the rest.

    CheckpointError if the files cannot be read or belong to another job.
    """
    try:
        content = json.loads((folder / "state.json").read_text())
        if content.get("format") != _FORMAT:
            raise CheckpointError(f"{folder}: a checkpoint of format {content.get('format')}, not {_FORMAT}")
        if content["fingerprint"] != fingerprint(job):
            raise CheckpointError(
                f"{folder}: this checkpoint is of a {job.role} training with another config, seed or prompts"
            )
        weights = load_file(folder / "model.safetensors")
        moments = load_file(folder / "optimizer.safetensors")
        _restore(parameters, optimizer, weights, moments, content["updates"])
        return TrainingState(
            step=content["step"],
            updates=content["updates"],
            rollouts=pq.read_table(folder / "rollouts.parquet"),
            metrics=pq.read_table(folder / "metrics.parquet"),
        )
    except (OSError, KeyError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: the checkpoint cannot be read: {error!r}") from error


@torch.no_grad()
def _restore(
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    weights: Mapping[str, torch.Tensor],
    moments: Mapping[str, torch.Tensor],
    updates: int,
) -> None:
    if set(weights) != set(parameters):
        raise CheckpointError("the checkpoint's parameters are not the model's")
    for name, parameter in parameters.items():
        parameter.copy_(weights[name])
        if f"exp_avg.{name}" not in moments:
            continue
        own = {moment: torch.empty_like(parameter).copy_(moments[f"{moment}.{name}"]) for moment in _MOMENTS}
        # As the fused AdamW keeps it: a float32 count on the parameter's device.
        steps = torch.tensor(float(updates), dtype=torch.float32, device=parameter.device)
        optimizer.state[parameter] = {"step": steps, **own}
