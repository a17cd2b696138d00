"""How both vLLM samplers set up an engine: options, environment, GPUs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.machine.gpus import chosen_gpus, replica_gpus
from infra.models.check import check_model_directory, longest_context

if TYPE_CHECKING:
    from data.backends import EngineSamplerConfig, VllmSamplerConfig

_CPU_CACHE_GIB = 1


def engine_options(config: EngineSamplerConfig, model_dir: Path) -> dict[str, Any]:
    """Keyword arguments of `vllm.LLM`, which are vLLM's options with underscores.

    ModelDirectoryError where the directory holds no causal language model.
    """
    longest = longest_context(check_model_directory(model_dir))
    options: dict[str, Any] = {
        "model": str(model_dir.resolve()),
        "dtype": config.dtype,
        "tensor_parallel_size": config.tensor_parallel,
        "enforce_eager": config.eager,
        "enable_prefix_caching": True,
        # Otherwise the model's own defaults, for temperature and the like, would change what is drawn.
        "generation_config": "vllm",
        "seed": 0,
    }
    if config.context_tokens is not None:
        options["max_model_len"] = min(config.context_tokens, longest or config.context_tokens)
    if config.device != "cpu":
        options["gpu_memory_utilization"] = config.gpu_memory_share
    return options


def sleep_options(config: VllmSamplerConfig, has_gpus: bool) -> dict[str, Any]:
    """Options of an engine that leaves its GPUs while it has nothing to draw; without GPUs vLLM cannot."""
    return {"enable_sleep_mode": True} if config.sleeps and has_gpus else {}


def engine_gpus(config: EngineSamplerConfig) -> list[tuple[str, ...]]:
    """The GPUs of each replica, none on a CPU; DeviceSetupError if the numbers do not fit."""
    if config.device == "cpu":
        return [()] * max(1, config.replicas)
    gpus = chosen_gpus("sampler", config.gpus, config.device)
    return replica_gpus("sampler", gpus, config.tensor_parallel, config.replicas)


def engine_environment(config: EngineSamplerConfig, gpus: Sequence[str]) -> dict[str, str]:
    """Variables of an engine's process."""
    if gpus:
        return {"CUDA_VISIBLE_DEVICES": ",".join(gpus)}
    return {
        "CUDA_VISIBLE_DEVICES": "",
        "VLLM_CPU_KVCACHE_SPACE": os.environ.get("VLLM_CPU_KVCACHE_SPACE", str(_CPU_CACHE_GIB)),
        # Pinned threads would compete with those of another engine on the same cores.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(config.threads),
    }
