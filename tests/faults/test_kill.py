"""kill -9 in the middle of a run: the same command goes on, and only the rest runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infra.artifacts import Manifest
from tests.small_run import SMALL_RUN

RESUME_POINTS = [
    "evaluate: shard 1/",
    "generate_questions: 25/60",
    "train_challenger: step 2/3",
    "score_and_filter: kept",
]


def _manifests(store: Path, run: str) -> dict[str, Manifest]:
    return {
        "/".join(path.parts[-4:-2]): Manifest.model_validate_json(path.read_bytes())
        for path in store.glob(f"runs/{run}/iteration=*/*/*/_manifest.json")
    }


def _start(store: Path, run: str) -> subprocess.Popen[str]:
    from prefect.settings import get_current_settings

    overrides = [item for override in SMALL_RUN for item in ("--set", override)]
    command = [sys.executable, "-m", "flows.cli", "run", "--run", run, "--iterations", "1"]
    environment = os.environ | {
        "PREFECT_API_URL": str(get_current_settings().api.url),
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        [*command, "--store", str(store), *overrides],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("line", RESUME_POINTS)
def test_a_killed_run_goes_on_with_the_rest_and_ends_the_same(
    small_store: Path, tmp_path: Path, line: str
) -> None:
    store = tmp_path / "store"
    process = _start(store, "killed")
    assert process.stdout is not None
    seen = []
    for shown in process.stdout:
        seen.append(shown)
        if line in shown:
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.wait()
    assert process.returncode == -signal.SIGKILL, "".join(seen)
    finished = _manifests(store, "killed")
    parts = {path: path.stat().st_mtime_ns for path in store.glob("runs/killed/**/_parts/*.json")}
    assert "iteration=1/train_solver" not in finished

    process = _start(store, "killed")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    after = _manifests(store, "killed")
    undisturbed = _manifests(small_store, "small")
    assert {name: m.digest for name, m in after.items()} == {
        name: m.digest for name, m in undisturbed.items()
    }
    assert {name: after[name] for name in finished} == finished
    assert {path: path.stat().st_mtime_ns for path in parts} == parts
