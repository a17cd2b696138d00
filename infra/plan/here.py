"""What fits the GPUs of this machine: a run before it begins, a training just before it starts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from data.backends import WHERE_IT_WORKS, VerlTrainerConfig
from data.resolve import ConfigError
from infra.jobs.errors import DeviceCrash
from infra.machine.gpus import found_gpus, gpu_memory
from infra.machine.host import memory_bytes
from infra.models.check import ModelDirectoryError
from infra.plan.layout import DoesNotFit, Room, explained, fitted
from infra.plan.memory import GIB
from infra.plan.plan import Machine, planned
from infra.plan.shape import shape_of, shape_of_base

if TYPE_CHECKING:
    from data.config import GrpoConfig, RunConfig


def check_run_fits(config: RunConfig) -> None:
    """ConfigError where packages are missing here, or verl would train on GPUs that the run does not fit.

    Nothing is said of GPUs that only a Ray cluster has, or of a model whose shape is not known yet.
    """
    local = (
        config.trainer.backend == "local"
        or config.sampler.backend == "transformers"
        or config.base_model.tiny is not None
    )
    needed = ("torch", "transformers") if local else ("transformers",)
    if missing := [name for name in needed if find_spec(name) is None]:
        raise ConfigError(
            f"a run needs {' and '.join(missing)}, not installed here: pip install 'rzero[local]'"
        )
    verl = isinstance(config.trainer, VerlTrainerConfig) and config.trainer.device != "cpu"
    gpus = found_gpus() if verl and WHERE_IT_WORKS["ray_address"] not in os.environ else ()
    if (memory := gpu_memory(gpus)) is None:
        return
    try:
        shape = shape_of_base(config.base_model)
    except ModelDirectoryError:
        return
    machine = Machine(len(gpus), memory[0] / GIB, host_gib=memory_bytes() / GIB)
    if problems := planned(config, shape, machine).problems:
        raise ConfigError("\n".join(problems))


def fitted_here(
    role: str,
    model: Mapping[str, Any],
    config: GrpoConfig,
    trainer: VerlTrainerConfig,
    ranks: int,
    nodes: int,
    gpus: Sequence[str],
    waking_share: float = 0.0,
) -> tuple[GrpoConfig, VerlTrainerConfig]:
    """Both with the layout that fits `gpus`; unchanged where their memory or the model's shape is not known.

    `model`: its config.json; `waking_share`: what others, who sleep now, take of each GPU while rollouts are
    scored. DoesNotFit where no layout does; DeviceCrash, which is tried again, where one would if others had
    not taken so much of the GPUs.
    """
    memory = gpu_memory(gpus)
    try:
        shape = shape_of(model, role)
    except ModelDirectoryError:
        return config, trainer
    if memory is None:
        return config, trainer
    room = Room(*memory, host_bytes=memory_bytes(), waking_bytes=waking_share * memory[0])
    try:
        layout = fitted(shape, config, trainer, ranks, nodes, room)
    except DoesNotFit as error:
        alone = replace(room, taken_bytes=0.0)
        try:
            fitted(shape, config, trainer, ranks, nodes, alone)
        except DoesNotFit as without:
            told = explained(shape, config, trainer, ranks, nodes, alone, str(without))
            raise DoesNotFit(f"{role}: {told}") from None
        told = explained(shape, config, trainer, ranks, nodes, room, str(error))
        raise DeviceCrash(f"{role}: {told}") from None
    where = {"offload": layout.training.offload, "tensor_parallel": layout.tensor_parallel}
    size = {"micro_batch_size": layout.micro_batch_size}
    return config.model_copy(update=size), trainer.model_copy(update=where)
