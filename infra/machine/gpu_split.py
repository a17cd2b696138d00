"""How a Challenger's training and the frozen Solver that it asks share one machine.

| GPUs | training (verl)                    | frozen Solver (vllm or server) |
|------|------------------------------------|--------------------------------|
| none | all cores, in turns                | all cores, in turns            |
| 1    | the GPU, weights offloaded         | the same GPU, a third of it    |
| 4    | 2                                  | 2                              |
| 8    | 4                                  | 4                              |
"""

from __future__ import annotations

from data.config import SamplerConfig, TrainerConfig
from infra.machine.gpus import chosen_gpus, share_gpus

_SHARED_SOLVER_MEMORY = 0.3
_SHARED_ROLLOUT_MEMORY = 0.4
"""Shares of a GPU's memory where rollouts and the Solver's engine are both on it: what is left trains."""


def side_by_side(trainer: TrainerConfig, sampler: SamplerConfig) -> tuple[TrainerConfig, SamplerConfig]:
    """Both sections with the GPUs, and the shares of their memory, that each takes of `trainer.gpus`.

    DeviceSetupError where they cannot be shared so. Backends of this process share as they always did.
    """
    if trainer.backend == "local" and sampler.backend == "transformers":
        return trainer, sampler
    found = chosen_gpus("trainer", trainer.gpus, trainer.device)
    if not found or sampler.urls:
        return trainer, sampler
    numbers = trainer.gpus or tuple(range(len(found)))
    shared = share_gpus(numbers, trainer.solver_gpus)
    if shared.is_split:
        return (
            trainer.model_copy(update={"gpus": shared.training}),
            sampler.model_copy(update={"gpus": shared.solver}),
        )
    return (
        trainer.model_copy(
            update={
                "gpus": shared.training,
                "gpu_memory_share": min(trainer.gpu_memory_share, _SHARED_ROLLOUT_MEMORY),
            }
        ),
        sampler.model_copy(
            update={
                "gpus": shared.solver,
                "gpu_memory_share": min(sampler.gpu_memory_share, _SHARED_SOLVER_MEMORY),
            }
        ),
    )
