"""What a user of the deployments does: `make up`, `prefect deployment run`, a look at the UI, `make down`."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.deploy.local import CannotStart, LocalServer
from tests.support.deployed import ROOT, Deployed

ARROWS = {
    "prepare_base_model 0": set(),
    "sample_evaluation_part 0": {"prepare_base_model 0"},
    "sample_evaluation 0": {"prepare_base_model 0", "sample_evaluation_part 0"},
    "evaluate_part 0": {"sample_evaluation 0"},
    "evaluate 0": {"sample_evaluation 0", "evaluate_part 0"},
    "train_challenger 1": {"prepare_base_model 0"},
    "generate_questions_part 1": {"train_challenger 1"},
    "generate_questions 1": {"train_challenger 1", "generate_questions_part 1"},
    "sample_answers_part 1": {"generate_questions 1", "prepare_base_model 0"},
    "sample_answers 1": {"generate_questions 1", "prepare_base_model 0", "sample_answers_part 1"},
    "score_and_filter 1": {"generate_questions 1", "sample_answers 1"},
    "train_solver 1": {"prepare_base_model 0", "score_and_filter 1"},
    "sample_evaluation_part 1": {"train_solver 1"},
    "sample_evaluation 1": {"train_solver 1", "sample_evaluation_part 1"},
    "evaluate_part 1": {"sample_evaluation 1"},
    "evaluate 1": {"sample_evaluation 1", "evaluate_part 1"},
}
SHOWN = [
    *(f"iteration-0-{stage}" for stage in ("prepare-base-model", "sample-evaluation", "evaluate")),
    *("iteration-1-train-challenger", "iteration-1-generate-questions", "iteration-1-sample-answers"),
    *("iteration-1-score-and-filter", "iteration-1-train-solver", "iteration-1-sample-evaluation"),
    "iteration-1-evaluate",
]
PLOT = "](data:image/png;base64,"


def _manifests(store: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in store.glob("runs/*/*/*/*/_manifest.json")}


def test_the_deployment_completes_and_its_name_says_run_iteration_and_preset(
    deployed_run: dict[str, Any], deployed_store: Path
) -> None:
    assert deployed_run["state_type"] == "COMPLETED"
    assert deployed_run["name"] == "Deployed iteration 1 (tiny)"
    assert "rzero" in deployed_run["tags"]
    assert len(_manifests(deployed_store)) == 10


def test_the_same_again_executes_no_stage(
    deployed: Deployed, deployed_run: dict[str, Any], deployed_store: Path
) -> None:
    before = _manifests(deployed_store)
    again = deployed.flow_run(deployed.start_run("Deployed", deployed_store, "--watch"))
    assert again["state_type"] == "COMPLETED"
    assert {run["state_name"] for run in deployed.task_runs(again)} == {"Cached"}
    assert _manifests(deployed_store) == before


def test_the_arrows_are_those_of_the_algorithm(deployed: Deployed, deployed_run: dict[str, Any]) -> None:
    nodes = dict(deployed.ask(f"flow_runs/{deployed_run['id']}/graph-v2")["nodes"])
    names = {number: _stage_and_iteration(node["label"]) for number, node in nodes.items()}
    arrows: dict[str, set[str]] = {}
    for number, node in nodes.items():
        arrows.setdefault(names[number], set()).update(names[parent["id"]] for parent in node["parents"])
    assert arrows == ARROWS


def _stage_and_iteration(label: str) -> str:
    stage, _, rest = label.partition(": ")
    return f"{stage} {rest.split('iteration ')[1].split()[0]}"


def test_the_overview_is_on_top_and_every_finished_stage_has_one_card(
    deployed: Deployed, deployed_run: dict[str, Any]
) -> None:
    found = _artifacts(deployed, deployed_run)
    keys = [key.removeprefix("deployed-") for key in found]
    assert keys[0] == "iteration-1-overview"
    assert sorted(keys[1:]) == sorted(SHOWN)
    assert {artifact["type"] for artifact in found.values()} == {"markdown"}
    without = {key for key, artifact in found.items() if PLOT not in artifact["data"]}
    assert without == {"deployed-iteration-0-prepare-base-model"}
    assert not [key for key, artifact in found.items() if "file://" in artifact["data"]]


def test_the_overview_belongs_to_the_run_and_shows_how_it_ended(
    deployed: Deployed, deployed_run: dict[str, Any], deployed_store: Path
) -> None:
    shown = _artifacts(deployed, deployed_run)["deployed-iteration-1-overview"]
    assert shown["task_run_id"] is None
    assert "Now: iteration 1" not in shown["data"]
    assert "Questions of iteration 1" in shown["data"]
    report = deployed_store / "runs/Deployed/report.html"
    assert str(report) in shown["data"]
    assert "iterations finished" in report.read_text(encoding="utf-8")


def test_the_shown_figures_and_files_are_those_of_the_store(
    deployed: Deployed, deployed_run: dict[str, Any], deployed_store: Path
) -> None:
    found = _artifacts(deployed, deployed_run)
    (manifest,) = deployed_store.glob("runs/Deployed/iteration=1/score_and_filter/*/_manifest.json")
    figures = json.loads(manifest.read_text())["figures"]
    card = found["deployed-iteration-1-score-and-filter"]["data"]
    assert f"| kept | {figures['kept']} |" in card
    assert str(manifest.parent) in card


def test_what_a_card_shows_to_type_works_as_pasted(
    deployed: Deployed, deployed_run: dict[str, Any], tmp_path: Path
) -> None:
    found = _artifacts(deployed, deployed_run)
    for stage in ("iteration-1-train-solver", "iteration-1-score-and-filter"):
        card = found[f"deployed-{stage}"]["data"]
        (code,) = re.findall(r"^```python\n(.*?)^```$", card, re.MULTILINE | re.DOTALL)
        (commands,) = re.findall(r"^```\n(rzero .*?)^```$", card, re.MULTILINE | re.DOTALL)
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
        for command in commands.splitlines():
            rzero = [sys.executable, "-m", "flows.cli", *shlex.split(command)[1:]]
            subprocess.run(rzero, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
    assert (tmp_path / "Deployed-model" / "config.json").is_file()


def _artifacts(deployed: Deployed, flow_run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the UI lists of a flow run, by key, in its order."""
    of_run = {"flow_run_id": {"any_": [flow_run["id"]]}, "type": {"not_any_": ["result"]}}
    found = deployed.ask("artifacts/filter", {"artifacts": of_run, "sort": "ID_DESC"})
    return {artifact["key"]: artifact for artifact in found}


@pytest.mark.parametrize("name", ["rzero/iteration", "rzero-evolve/evolve"])
def test_every_parameter_is_described_where_the_form_shows_it(deployed: Deployed, name: str) -> None:
    found = deployed.ask(f"deployments/name/{name}")
    properties = found["parameter_openapi_schema"]["properties"]
    assert {"run", "preset", "store", "overrides"} < set(properties)
    assert all(field["description"] for field in properties.values())
    assert found["concurrency_limit"] or found["global_concurrency_limit"]["limit"] == 1
    assert found["tags"] == ["rzero"]
    assert found["job_variables"] == {}


def test_up_again_leaves_the_server_and_the_worker_as_they_are(deployed: Deployed) -> None:
    processes = deployed.server.processes
    before = [processes.detail(name, "pid") for name in ("server", "worker")]
    lines = list(deployed.server.up())
    assert [processes.detail(name, "pid") for name in ("server", "worker")] == before
    assert len(lines) == len({line.partition("  ")[0] for line in lines}) == 7
    assert len(deployed.ask("automations/filter", {})) == 1


def test_the_limit_of_the_device_is_free_again(deployed: Deployed, deployed_run: dict[str, Any]) -> None:
    limit = deployed.ask("v2/concurrency_limits/gpu")
    assert (limit["limit"], limit["active_slots"]) == (1, 0)


def test_a_taken_port_is_named_and_nothing_is_started(deployed: Deployed, tmp_path: Path) -> None:
    other = LocalServer(ROOT, deployed.server.port, tmp_path)
    with pytest.raises(CannotStart, match=f"port {deployed.server.port} is taken"):
        list(other.up())
    assert not other.processes.is_running("server")
    assert [line.split(maxsplit=1)[1] for line in other.down()] == ["was not up", "was not up"]
    assert deployed.server.processes.is_running("server")


def test_up_again_does_not_touch_the_automation(deployed: Deployed) -> None:
    """An update would forget which runs have beaten, and a node lost just before would never be noticed."""

    def updated() -> list[str]:
        return [found["updated"] for found in deployed.ask("automations/filter", {})]

    before = updated()
    lines = list(deployed.server.up())
    assert updated() == before
    assert len(before) == 1
    assert any(line.startswith("automation") and line.endswith("is there") for line in lines)
