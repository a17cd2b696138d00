"""Tests that need the device environment: `make test-verl` makes it and says where it is."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.ray.address import CPU_PATIENCE
from tests.support.left import ownerless_segments, processes_with

PYTHON_VARIABLE = "RZERO_COMPUTE_PYTHON"
ROOT = Path(__file__).parents[2]
# Ray's own command allows a node half a minute to start.
PATIENT_RAY = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from infra.ray.joined import wait_longer_for_ray
wait_longer_for_ray()
from ray.scripts.scripts import main
main()
"""
RAY = ("-c", PATIENT_RAY)
NODE_START_SECONDS = 1800.0


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
        pytest.fail(f"${PYTHON_VARIABLE} names {found}, which has no verl: run `make test-verl`")
    return found


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, hardly trained: enough to end most of what it writes."""
    from data.tiny.pretrain import pretrain
    from data.tiny.settings import TinyModelConfig

    folder = tmp_path_factory.mktemp("tiny")
    recipe = TinyModelConfig(training_steps=60, batch_size=32, solver_terms=4, held_out_per_length=3)
    pretrain(recipe, 0, folder, 1, lambda step, metrics: None)
    return folder


@pytest.fixture
def two_nodes(
    python: str, monkeypatch: pytest.MonkeyPatch, _nothing_is_left: None
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A Ray cluster of two nodes on this machine that asks for a token; their processes, the head first."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    for name, value in CPU_PATIENCE.items():
        monkeypatch.setenv(name, value)
    host = _said_by(python, "-c", "import ray; print(ray.util.get_node_ip_address())").strip()
    with socket.socket() as free:
        free.bind((host, 0))
        address = f"{host}:{free.getsockname()[1]}"
    node = ["start", "--block", "--num-gpus=1", "--num-cpus=32", "--object-store-memory=300000000"]
    # Unix sockets have short paths.
    with tempfile.TemporaryDirectory(prefix="rz-", ignore_cleanup_errors=True) as folder:
        head = ["--head", f"--port={address.rpartition(':')[2]}", f"--temp-dir={folder}"]
        head.append("--include-dashboard=false")
        started = []
        with contextlib.ExitStack() as nodes:
            for options, count in ((head, 1), ([f"--address={address}"], 2)):
                process = _node(python, [*node, *options], nodes)
                deadline = time.monotonic() + NODE_START_SECONDS
                while _said_by(python, *RAY, "status", f"--address={address}").count(" node_") < count:
                    assert time.monotonic() < deadline
                    if process.poll() is not None:
                        # On cores that are shared a node may miss time limits of its own: once more.
                        process = _node(python, [*node, *options], nodes)
                started.append(process)
            monkeypatch.setenv("RZERO_RAY_ADDRESS", address)
            yield started


def _node(python: str, options: list[str], nodes: contextlib.ExitStack) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([python, *RAY, *options], stdout=subprocess.DEVNULL)
    nodes.callback(process.wait)
    nodes.callback(process.terminate)
    return process


def _said_by(python: str, *arguments: str) -> str:
    return subprocess.run([python, *arguments], capture_output=True, text=True, check=False).stdout


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test starts is gone at its end, its shared memory too."""
    name, value = "RZERO_TEST", uuid.uuid4().hex
    monkeypatch.setenv(name, value)
    before = ownerless_segments()
    yield
    assert processes_with(f"{name}={value}") == {}
    assert ownerless_segments() <= before
