"""Tests that need the device environment: `make test-verl` makes it and says where it is."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PYTHON_VARIABLE = "RZERO_COMPUTE_PYTHON"


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter that has verl, Ray and vLLM."""
    found = os.environ.get(PYTHON_VARIABLE)
    if not found:
        pytest.skip(f"${PYTHON_VARIABLE} names no device environment: run `make test-verl`")
    asked = subprocess.run(
        [found, "-c", "from importlib.metadata import version; version('verl')"], check=False
    )
    if asked.returncode:
        pytest.skip(f"{found} has no verl: run `make test-verl`")
    return found


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, hardly trained: enough to end most of what it writes."""
    from data.config import TinyModelConfig
    from data.tiny.pretrain import pretrain

    folder = tmp_path_factory.mktemp("tiny")
    recipe = TinyModelConfig(training_steps=60, batch_size=32, solver_terms=4, held_out_per_length=3)
    pretrain(recipe, 0, folder, 1, lambda step, metrics: None)
    return folder


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    """Whatever a test starts is gone at its end, its shared memory too."""
    from infra.jobs.reap import JOB_VARIABLE

    shared = set(Path("/dev/shm").glob("psm_*"))
    yield
    assert set(Path("/dev/shm").glob("psm_*")) <= shared
    mark = f"{JOB_VARIABLE}=".encode()
    left = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes() and int(entry.name) != os.getpid():
                left.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    assert not [one for one in left if one], left
