"""What this machine can run, what is missing, and the command to fix it. It imports nothing heavy."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata

from infra.machine.check import Check
from infra.machine.device import device_checks
from infra.machine.gpus import found_gpus
from infra.machine.host import host_checks, memory_bytes
from infra.store.store import Store, StoreError

_API_SECONDS = 3.0
_OLDEST_PYTHON = (3, 11)


def examine(store: str, gpu_expected: bool = False) -> list[Check]:
    """All checks, in the order in which a new user needs them.

    What only GPUs need is checked where there is one, or where one is expected.
    """
    here = [_python(), *_local(), _machine(), _store(store), _prefect_api(), _gpus()]
    return [*here, *host_checks(gpu_expected), *device_checks(gpu_expected)]


def abilities(checks: Sequence[Check]) -> dict[str, bool]:
    """Which backends work here."""
    there = {check.name for check in checks if check.ok}
    lacking = {check.name for check in checks if not check.ok}
    local = {"Python", "torch", "transformers", "store"} <= there
    engine = {"Python", "store", "transformers", "compute interpreter", "vLLM"} <= there
    if "GPU" in there:
        engine = engine and not lacking & {"NVIDIA driver", "C compiler", "Python headers"}
    return {
        "sampler transformers, trainer local": local,
        "sampler vllm, sampler server": engine,
        "trainer verl": engine and {"verl", "Ray"} <= there,
        "GPU": "GPU" in there,
    }


def _python() -> Check:
    return Check(
        "Python",
        sys.version_info >= _OLDEST_PYTHON,
        f"{platform.python_version()} at {sys.executable}",
        "everything",
        "install Python 3.11 or newer, then make .venv again: rm -rf .venv && make demo",
    )


def _local() -> Iterator[Check]:
    for name, use in (("torch", "the local backends"), ("transformers", "every backend")):
        try:
            ok, found = True, metadata.version(name)
        except metadata.PackageNotFoundError:
            ok, found = False, "not installed"
        yield Check(name, ok, found, use, "pip install 'rzero[local]'")


def _machine() -> Check:
    free_gib = shutil.disk_usage(".").free / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Check(
        "machine",
        free_gib >= 2,
        f"{cores} cores, {memory_bytes() / 2**30:.0f} GiB of memory, {free_gib:.0f} GiB free on this disk",
        "everything",
        "make room on this disk, or choose another: --store /elsewhere/rzero-store",
    )


def _store(uri: str) -> Check:
    mend = (
        "choose a store that can be written: --store DIRECTORY or --store s3://bucket/prefix (docs/store.md)"
    )
    try:
        place = Store(uri)
        place.check_writable()
    except (StoreError, OSError, ImportError) as error:
        return Check("store", False, " ".join(str(error).split()), "everything", mend)
    return Check("store", True, f"{place.uri} can be written", "everything")


def _prefect_api() -> Check:
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        found = "none configured; each run starts a server of its own and stops it"
        return Check("Prefect API", True, found, "deployments and schedules")
    import httpx

    mend = "prefect server start   (or: unset PREFECT_API_URL)"
    user, _, password = os.environ.get("PREFECT_API_AUTH_STRING", "").partition(":")
    try:
        answer = httpx.get(f"{url.rstrip('/')}/health", timeout=_API_SECONDS)
        known = httpx.get(f"{url.rstrip('/')}/admin/version", auth=(user, password), timeout=_API_SECONDS)
    except httpx.HTTPError as error:
        return Check("Prefect API", False, f"{url} does not answer ({error})", "every run", mend)
    if known.status_code == httpx.codes.UNAUTHORIZED and "PREFECT_API_KEY" not in os.environ:
        mend = "set PREFECT_API_AUTH_STRING to the server's key; that of `make up` is in .rzero-server/key"
        return Check("Prefect API", False, f"{url} does not take your key", "every run", mend)
    return Check("Prefect API", answer.is_success, f"{url} answers {answer.status_code}", "every run", mend)


def _gpus() -> Check:
    gpus = found_gpus()
    return Check(
        "GPU",
        bool(gpus),
        f"{len(gpus)}: {', '.join(gpus)}" if gpus else "none (no nvidia-smi that lists one)",
        "models of billions of parameters; tiny and smollm2-135m need none",
        "install NVIDIA's driver, or run on a machine that has a GPU (docs/scale.md)",
    )
