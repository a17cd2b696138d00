"""How the Challenger's training and the frozen Solver that it asks share one machine.

| GPUs | training (verl)                    | frozen Solver (vllm or server) |
|------|------------------------------------|--------------------------------|
| none | all cores, in turns                | all cores, in turns            |
| 1    | the GPU, weights offloaded         | the same GPU, a third of it    |
| 4    | 2                                  | 2                              |
| 8    | 4                                  | 4                              |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from data.backends import BackendConfig, EngineConfig, SamplerConfig, ServerSamplerConfig, TrainerConfig
from infra.machine.gpus import chosen_gpus, share_gpus

_SHARED_SOLVER_MEMORY = 0.3
_SHARED_ROLLOUT_MEMORY = 0.4
"""Shares of a GPU's memory where rollouts and the Solver's engine both use it; the rest is for training."""

B = TypeVar("B", bound=BackendConfig)


def side_by_side(
    trainer: TrainerConfig, sampler: SamplerConfig, there: Sequence[str] | None = None
) -> tuple[TrainerConfig, SamplerConfig]:
    """Both sections with the GPUs, and the shares of their memory, that each takes of `trainer.gpus`.

    Raises DeviceSetupError where the GPUs cannot be shared so. Two backends of this process share as they
    are, and so does a sampler whose endpoints run elsewhere.
    """
    is_elsewhere = isinstance(sampler, ServerSamplerConfig) and sampler.urls
    if is_elsewhere or not (isinstance(trainer, EngineConfig) or isinstance(sampler, EngineConfig)):
        return trainer, sampler
    numbers = trainer.gpus if isinstance(trainer, EngineConfig) else ()
    found = chosen_gpus("trainer", numbers, trainer.device, there)
    if not found:
        return trainer, sampler
    training, solver = share_gpus(numbers or range(len(found)), trainer.solver_gpus)
    memory = (_SHARED_ROLLOUT_MEMORY, _SHARED_SOLVER_MEMORY) if training == solver else (1.0, 1.0)
    return _placed(trainer, training, memory[0]), _placed(sampler, solver, memory[1])


def _placed(config: B, gpus: tuple[int, ...], most_memory: float) -> B:
    """The configuration on these GPUs, where it is an engine's."""
    if not isinstance(config, EngineConfig):
        return config
    memory = min(config.gpu_memory_share, most_memory)
    return config.model_copy(update={"gpus": gpus, "gpu_memory_share": memory})
