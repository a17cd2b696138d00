"""What a host must have for its GPUs, besides the device environment."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from infra.machine.check import Check
from infra.machine.gpus import found_gpus

OLDEST_DRIVER = 580
"""NVIDIA's, for CUDA 13, for which the torch of requirements-verl-gpu.lock is built."""

_QUESTION_SECONDS = 20.0
_SHARED_MEMORY_GIB = 8
_MEMORY_GIB_EACH_GPU = 16
"""Each process of a training reads its model in float32: 16 GB for 4B parameters."""
_WORK_GIB = 90
"""Two checkpoints of 4B parameters: the weights in float32 and AdamW's two moments."""
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_GPU_USE = "vllm, server and verl on GPUs"


def _asked_driver() -> tuple[str | None, str]:
    """The version of NVIDIA's driver, None where none answers; and what nvidia-smi says, if it is there."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return None, ""
    question = [command, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        asked = subprocess.run(question, capture_output=True, text=True, timeout=_QUESTION_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, " ".join(str(error).split())
    said = asked.stdout.split()
    if asked.returncode or not said:
        return None, " ".join((asked.stdout + asked.stderr).split())
    return said[0], said[0]


def host_checks(expected: bool) -> Iterator[Check]:
    """What GPUs need of this host; nothing where it shows no sign of one, unless one is `expected`."""
    version, said = _asked_driver()
    if not (expected or found_gpus() or (said and version is None)):
        return
    yield _driver(version, said)
    yield _compiler()
    yield _shared_memory()
    yield _memory(max(len(found_gpus()), 1))
    yield _work_folder()


def memory_bytes() -> int:
    """The memory that this process may use: the machine's, or its container's."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _CGROUP_LIMITS:
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text()))
    return min(limits)


def _driver(version: str | None, said: str) -> Check:
    return Check(
        "NVIDIA driver",
        version is not None and int(version.split(".")[0]) >= OLDEST_DRIVER,
        said or "none (no nvidia-smi)",
        _GPU_USE,
        f"install driver {OLDEST_DRIVER} or newer and restart the machine: https://www.nvidia.com/drivers",
    )


def _compiler() -> Check:
    # As Triton looks for it.
    found = next(filter(None, (os.environ.get("CC"), shutil.which("gcc"), shutil.which("clang"))), None)
    return Check(
        "C compiler",
        found is not None and shutil.which(found) is not None,
        found or "none",
        f"Triton, so {_GPU_USE}",
        "apt-get install gcc libc6-dev   (or name another compiler: export CC=...)",
    )


def _shared_memory() -> Check:
    try:
        size_gib = shutil.disk_usage("/dev/shm").total / 2**30
    except OSError:
        size_gib = 0.0
    return Check(
        "/dev/shm",
        size_gib >= _SHARED_MEMORY_GIB,
        f"{size_gib:.2f} GiB; {_SHARED_MEMORY_GIB} needed",
        "Ray, NCCL and vLLM between their processes",
        "mount -o remount,size=16g /dev/shm; docker run --shm-size=16g; a memory volume in Kubernetes",
    )


def _memory(gpus: int) -> Check:
    gib, wanted = memory_bytes() / 2**30, gpus * _MEMORY_GIB_EACH_GPU
    return Check(
        "host memory",
        gib >= wanted,
        f"{gib:.0f} GiB; {wanted} needed for {gpus} GPU{'s' * (gpus > 1)}",
        "training 4B parameters with verl: each GPU's process reads the model in float32",
        "take a machine (or a larger limit of the container) with more memory, or use fewer GPUs",
    )


def _work_folder() -> Check:
    folder = tempfile.gettempdir()
    free_gib = shutil.disk_usage(folder).free / 2**30
    return Check(
        "work folder",
        free_gib >= _WORK_GIB,
        f"{free_gib:.0f} GiB free in {folder}; {_WORK_GIB} needed",
        "training 4B parameters with verl: two checkpoints lie there until they are in the store",
        "--set trainer.work_folder=/large/disk; export TMPDIR=/large/disk; LoRA (trainer.lora_rank)",
    )
