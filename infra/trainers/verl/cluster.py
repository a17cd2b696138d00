"""The machines that a verl training runs on and where its files are. Pure: no verl, no torch."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.jobs.errors import DeviceSetupError
from infra.ray.address import RAY_VARIABLE

if TYPE_CHECKING:
    from data.backends import VerlTrainerConfig
    from data.config import GrpoConfig

KEPT_CHECKPOINTS = 2
"""How many verl leaves in the work folder, the one that it saves included."""
_TRAINED_BYTES, _FROZEN_BYTES = 12, 4
"""Of a parameter in a checkpoint: the weight in float32 and, where it is trained, AdamW's two moments."""


@dataclass(frozen=True)
class Cluster:
    """The workers: the GPUs to use of each node, or processes of the CPU plugin where there are none."""

    nodes: int
    workers_per_node: int
    has_gpus: bool = True
    address: str | None = None

    @property
    def workers(self) -> int:
        """Processes that train."""
        return self.nodes * self.workers_per_node


def cluster_of(config: VerlTrainerConfig, gpus: Sequence[str], address: str | None = None) -> Cluster:
    """The cluster that the configuration asks for, on a machine with these GPUs that may join one.

    DeviceSetupError if it asks for GPUs or nodes that are not there, or does not say how many to use.
    """
    wanted = config.gpus_per_node
    if config.nodes > 1 and address is None:
        raise DeviceSetupError(
            f"trainer.nodes: {config.nodes} nodes need the Ray cluster that has them: set ${RAY_VARIABLE}, "
            "for example to head:6379, in the environment of the process that works"
        )
    on_cpu = not gpus and (config.device == "cpu" or address is None)
    if on_cpu:
        return Cluster(config.nodes, wanted or 1, False, address)
    if not gpus and not wanted:
        raise DeviceSetupError(
            f"trainer.gpus_per_node: this machine has no GPU; say how many to use of each node of {address}"
        )
    if address is None and wanted > len(gpus):
        raise DeviceSetupError(f"trainer.gpus_per_node: {wanted}, but this machine has {len(gpus)}")
    return Cluster(config.nodes, wanted or len(gpus), True, address)


class Paths:
    """Where a training finds and leaves its files; with several nodes all of them see it."""

    def __init__(self, model: Path, work: Path) -> None:
        self.model = model
        self.work = work
        self.data = work / "prompts.parquet"
        """The prompts of all steps, in order."""
        self.checkpoints = work / "checkpoints"
        """verl's `global_step_<n>` folders."""
        self.metrics = work / "metrics.jsonl"
        """A JSON line for each step."""
        self.agent_loops = work / "agent_loops.yaml"
        """The registration of the agent loop."""


def step_folder(checkpoints: Path, step: int) -> Path:
    """Where verl saves the state after a step."""
    return checkpoints / f"global_step_{step}"


def check_fits(role: str, config: GrpoConfig, cluster: Cluster) -> None:
    """DeviceSetupError where verl cannot share out the batches of a step."""
    if config.prompts_per_step % config.updates_per_step:
        raise DeviceSetupError(
            f"{role}.updates_per_step: verl needs it to divide prompts_per_step, "
            f"{config.updates_per_step} does not divide {config.prompts_per_step}"
        )
    rollouts = config.prompts_per_step // config.updates_per_step * config.group_size
    if rollouts % cluster.workers:
        named = "GPUs" if cluster.has_gpus else "processes"
        raise DeviceSetupError(
            f"{role}: the {rollouts} rollouts of an update cannot be shared among {cluster.workers} {named}"
        )


def checkpoint_bytes(parameters: int, config: GrpoConfig, first: int, is_lora: bool) -> tuple[int, int]:
    """How many new checkpoints of a training lie in its work folder at once, and the bytes of each.

    It goes on after step `first`. With LoRA the moments, those of the adapters alone, are left out.
    """
    every = config.checkpoint_every_steps
    # One after every so many steps, and the last.
    saved = -(-config.steps // every) - first // every if first < config.steps else 0
    return min(saved, KEPT_CHECKPOINTS), parameters * (_FROZEN_BYTES if is_lora else _TRAINED_BYTES)


def check_space(
    role: str, folder: Path, parameters: int, config: GrpoConfig, first: int, is_lora: bool
) -> None:
    """DeviceSetupError unless the file system of the work folder has room for the checkpoints to come."""
    number, each = checkpoint_bytes(parameters, config, first, is_lora)
    free = shutil.disk_usage(folder).free
    if number * each > free:
        raise DeviceSetupError(
            f"trainer.work_folder: the {role}'s checkpoints need {number * each / 1e9:.1f} GB "
            f"({number} of {each / 1e9:.1f} GB) and {folder} has {free / 1e9:.1f} GB free; "
            "set trainer.work_folder to a folder with more room"
        )
