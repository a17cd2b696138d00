"""A node dies: the worker and the run it works on are killed, and no one is left to say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra.artifacts.artifact import Manifest
from tests.support.deployed import Deployed
from tests.support.killing import kill


def _manifests(store: Path) -> dict[str, Manifest]:
    return {
        "/".join(path.parts[-4:-2]): Manifest.model_validate_json(path.read_bytes())
        for path in store.glob("runs/*/iteration=*/*/*/_manifest.json")
    }


def test_a_run_of_a_lost_node_becomes_crashed_and_the_next_one_resumes(
    deployed: Deployed, deployed_run: dict[str, Any], deployed_store: Path, tmp_path: Path
) -> None:
    store, processes = tmp_path / "store", deployed.server.processes
    lost = deployed.flow_run(deployed.start_run("lost", store))
    deployed.wait_until(lambda: len(_manifests(store)) >= 3, "three finished stages")
    kill(processes, "worker")
    finished = _manifests(store)
    assert "iteration=1/evaluate" not in finished
    assert deployed.state(lost) == "RUNNING"

    list(deployed.server.up())
    after = deployed.flow_run(deployed.start_run("lost", store, "--watch"))
    assert deployed.state(lost) == "CRASHED"
    assert after["state_type"] == "COMPLETED"
    assert after["start_time"] > lost["expected_start_time"]
    made = _manifests(store)
    assert {name: made[name] for name in finished} == finished
    undisturbed = {name: manifest.digest for name, manifest in _manifests(deployed_store).items()}
    assert {name: manifest.digest for name, manifest in made.items()} == undisturbed
