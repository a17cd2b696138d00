"""A training fitted to the GPUs of this machine, as they are just before it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from infra.jobs.errors import DeviceCrash
from infra.machine.gpus import gpu_memory
from infra.machine.host import memory_bytes
from infra.models.check import ModelDirectoryError
from infra.plan.layout import DoesNotFit, Room, explained, fitted
from infra.plan.shape import shape_of

if TYPE_CHECKING:
    from data.backends import VerlTrainerConfig
    from data.config import GrpoConfig


def fitted_here(
    role: str,
    model: Mapping[str, Any],
    config: GrpoConfig,
    trainer: VerlTrainerConfig,
    ranks: int,
    nodes: int,
    gpus: Sequence[str],
) -> tuple[GrpoConfig, VerlTrainerConfig]:
    """Both with the layout that fits `gpus`; unchanged where their memory or the model's shape is not known.

    `model`: its config.json. DoesNotFit where no layout does; DeviceCrash, which is tried again, where one
    would if others had not taken so much of the GPUs.
    """
    memory = gpu_memory(gpus)
    try:
        shape = shape_of(model, role)
    except ModelDirectoryError:
        return config, trainer
    if memory is None:
        return config, trainer
    room = Room(*memory, host_bytes=memory_bytes())
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
