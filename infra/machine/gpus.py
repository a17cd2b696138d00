"""Which GPUs this machine has and how they are shared; without torch, so it answers at once."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

from data.backends import (
    BackendConfig,
    EngineConfig,
    SamplerConfig,
    ServerSamplerConfig,
    TrainerConfig,
    VerlTrainerConfig,
    VllmSamplerConfig,
)
from infra.jobs.errors import DeviceSetupError
from infra.ray.address import ray_address

_QUESTION_SECONDS = 20.0
_SHARED_SOLVER_MEMORY = 0.3
_SHARED_ROLLOUT_MEMORY = 0.4
"""Shares of a GPU's memory where rollouts and the Solver's engine both use it; the rest is for training."""

B = TypeVar("B", bound=BackendConfig)


def found_gpus() -> tuple[str, ...]:
    """The ids of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES takes them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    there = _installed(shutil.which("nvidia-smi"))
    if visible is None or not there:
        return there
    return tuple(name.strip() for name in visible.split(",") if name.strip() not in ("", "-1"))


@lru_cache(maxsize=1)
def _installed(command: str | None) -> tuple[str, ...]:
    return tuple(row[0] for row in _asked(command, "index"))


def _asked(command: str | None, fields: str) -> list[list[str]]:
    """What nvidia-smi says of each GPU, without units; nothing where it is not there or fails."""
    if command is None:
        return []
    question = [command, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    try:
        asked = subprocess.run(question, capture_output=True, text=True, timeout=_QUESTION_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = asked.stdout.splitlines() if asked.returncode == 0 else []
    return [[value.strip() for value in line.split(",")] for line in lines]


def gpu_memory(gpus: Sequence[str]) -> tuple[int, int] | None:
    """Bytes of the smallest of these GPUs, and of the most that others have taken of one; None: not known."""
    there = _asked(shutil.which("nvidia-smi"), "index,uuid,memory.total,memory.used")
    known = {name: row[2:] for row in there for name in row[:2]}
    try:
        sizes = [[int(mebibytes) * 2**20 for mebibytes in known[name]] for name in gpus]
    except (KeyError, ValueError):
        return None
    return (min(total for total, _ in sizes), max(used for _, used in sizes)) if sizes else None


def chosen_gpus(
    setting: str, numbers: Sequence[int], device: str, found: Sequence[str] | None = None
) -> tuple[str, ...]:
    """The GPUs to use: those with these numbers among the found ones, or all; none where `device` is 'cpu'.

    DeviceSetupError, naming `setting` (a section of the configuration), where one is not there.
    """
    if device == "cpu":
        return ()
    there = found_gpus() if found is None else tuple(found)
    if missing := [number for number in numbers if not 0 <= number < len(there)]:
        raise DeviceSetupError(
            f"{setting}.gpus: there is no GPU {missing[0]}; this machine has {len(there) or 'none'}"
        )
    if len(set(numbers)) != len(numbers):
        raise DeviceSetupError(f"{setting}.gpus: a GPU is named twice")
    if not there and device.startswith("cuda"):
        raise DeviceSetupError(f"{setting}.device: {device}, but no GPU is found")
    return tuple(there[number] for number in numbers) if numbers else there


def replica_gpus(
    setting: str, gpus: Sequence[str], tensor_parallel: int, replicas: int
) -> list[tuple[str, ...]]:
    """The GPUs of each copy of a model; one copy without a GPU where there is none.

    `replicas` 0: as many as the GPUs hold. DeviceSetupError where the numbers do not fit.
    """
    if not gpus:
        if tensor_parallel > 1 or replicas > 1:
            raise DeviceSetupError(
                f"{setting}: tensor_parallel {tensor_parallel} and replicas {replicas or 'auto'} need GPUs, "
                "and there is none; set both to 1"
            )
        return [()]
    if tensor_parallel > len(gpus) or (not replicas and len(gpus) % tensor_parallel):
        raise DeviceSetupError(
            f"{setting}.tensor_parallel: {tensor_parallel} does not divide the {len(gpus)} GPUs"
        )
    count = replicas or len(gpus) // tensor_parallel
    if count * tensor_parallel > len(gpus):
        raise DeviceSetupError(
            f"{setting}: {count} replicas of {tensor_parallel} GPUs need {count * tensor_parallel}, "
            f"there are {len(gpus)}"
        )
    return [tuple(gpus[n * tensor_parallel : (n + 1) * tensor_parallel]) for n in range(count)]


def share_gpus(numbers: Sequence[int], solver_gpus: int | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Split these GPUs into those that train the Challenger and those of the frozen Solver that it asks.

    Both get all of them where they share. With `solver_gpus` None each gets half, as in the paper's
    code, or they share the only one. DeviceSetupError where nothing would be left for the training.
    """
    count = len(numbers)
    wanted = count // 2 if solver_gpus is None else solver_gpus
    if wanted == 0:
        return tuple(numbers), tuple(numbers)
    if wanted >= count:
        raise DeviceSetupError(
            f"trainer.solver_gpus: {wanted} of {count} GPUs for the frozen Solver leave none to train on"
        )
    return tuple(numbers[: count - wanted]), tuple(numbers[count - wanted :])


def side_by_side(trainer: TrainerConfig, sampler: SamplerConfig) -> tuple[TrainerConfig, SamplerConfig]:
    """`share_out` for this machine, or the Ray cluster that its environment names."""
    return share_out(trainer, sampler, address=ray_address())


def share_out(
    trainer: TrainerConfig,
    sampler: SamplerConfig,
    there: Sequence[str] | None = None,
    address: str | None = None,
) -> tuple[TrainerConfig, SamplerConfig]:
    """Both configurations, each with its part of `trainer.gpus` and of their memory.

    | GPUs | training (verl)                    | frozen Solver (vllm or server) |
    |------|------------------------------------|--------------------------------|
    | none | all cores, in turns                | all cores, in turns            |
    | 1    | the GPU                            | the same GPU, a third of it,   |
    |      |                                    | and only while it answers      |
    | 4    | 2                                  | 2                              |
    | 8    | 4                                  | 4                              |

    With verl on a Ray cluster at `address` these are the GPUs of each node, and Ray, which gives a GPU to
    one actor only, places both.

    Backends that run in this process stay as they are, as does a sampler whose endpoints run elsewhere.
    DeviceSetupError where the GPUs cannot be split so.
    """
    is_elsewhere = isinstance(sampler, ServerSamplerConfig) and sampler.urls
    if is_elsewhere or not (isinstance(trainer, EngineConfig) or isinstance(sampler, EngineConfig)):
        return trainer, sampler
    numbers = trainer.gpus if isinstance(trainer, EngineConfig) else ()
    found = chosen_gpus("trainer", numbers, trainer.device, there)
    if address is not None and isinstance(trainer, VerlTrainerConfig) and trainer.device != "cpu":
        return _on_ray(trainer, sampler, trainer.gpus_per_node or len(found), address)
    if not found:
        return trainer, sampler
    training, solver = share_gpus(numbers or range(len(found)), trainer.solver_gpus)
    memory = (_SHARED_ROLLOUT_MEMORY, _SHARED_SOLVER_MEMORY) if training == solver else (1.0, 1.0)
    if training == solver and isinstance(sampler, VllmSamplerConfig):
        sampler = sampler.model_copy(update={"sleeps": True})
    return _placed(trainer, training, memory[0]), _placed(sampler, solver, memory[1])


def _on_ray(
    trainer: VerlTrainerConfig, sampler: SamplerConfig, per_node: int, address: str
) -> tuple[TrainerConfig, SamplerConfig]:
    """Both on the same nodes of a Ray cluster, each with so many GPUs of every node."""
    if not per_node or not isinstance(sampler, EngineConfig):
        # Without GPUs both are placed anywhere, and so is a training whose Solver is in this process.
        return trainer, sampler
    if not isinstance(sampler, VllmSamplerConfig):
        raise DeviceSetupError(
            f"sampler.backend: {sampler.backend} starts engines on GPUs that the Ray cluster at {address} "
            "may give to the training; use vllm, or name the urls of servers elsewhere"
        )
    training, solver = share_gpus(range(per_node), trainer.solver_gpus)
    if training == solver:
        raise DeviceSetupError(
            f"trainer.solver_gpus: the Ray cluster at {address} gives a GPU to the training or to the frozen "
            "Solver, not to both; set trainer.solver_gpus to 1 or more of trainer.gpus_per_node"
        )
    if len(solver) % sampler.tensor_parallel:
        raise DeviceSetupError(
            f"sampler.tensor_parallel: {sampler.tensor_parallel} does not divide the {len(solver)} GPUs of "
            "each node that the frozen Solver takes (trainer.solver_gpus)"
        )
    engines = trainer.nodes * len(solver) // sampler.tensor_parallel
    return (
        trainer.model_copy(update={"gpus_per_node": len(training)}),
        sampler.model_copy(update={"gpus": (), "replicas": engines}),
    )


def _placed(config: B, gpus: tuple[int, ...], most_memory: float) -> B:
    """The configuration on these GPUs, where it is an engine's."""
    if not isinstance(config, EngineConfig):
        return config
    memory = min(config.gpu_memory_share, most_memory)
    return config.model_copy(update={"gpus": gpus, "gpu_memory_share": memory})


def waking_share(sampler: SamplerConfig) -> float:
    """Share of each of its GPUs that a sampler takes while it draws and leaves at other times."""
    return sampler.gpu_memory_share if isinstance(sampler, VllmSamplerConfig) and sampler.sleeps else 0.0
