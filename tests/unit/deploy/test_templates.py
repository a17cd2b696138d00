"""The templates for a team's server: whole, and such that Prefect takes them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.deploy.setup import (
    ENVIRONMENT,
    PROGRAMS,
    RUN_ENVIRONMENT,
    automation_definitions,
    template,
    variables_of,
)

ROOT = Path(__file__).parents[3]
POOLS = sorted((ROOT / "infra/deploy").glob("pool-*.json"))


@pytest.mark.parametrize("path", POOLS, ids=lambda path: path.stem)
def test_every_variable_of_a_pool_is_declared_and_used(path: Path) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate

    pool_type = path.stem.removeprefix("pool-")
    pool = template(pool_type)
    assert WorkPoolCreate(name="rzero", type=pool_type, base_job_template=pool)
    used = set(re.findall(r"{{ ([\w.]+) }}", json.dumps(pool["job_configuration"])))
    assert used == set(pool["variables"]["properties"])


@pytest.mark.parametrize("path", POOLS, ids=lambda path: path.stem)
def test_no_pool_lets_a_run_name_a_program(path: Path) -> None:
    pool = template(path.stem.removeprefix("pool-"))
    assert not PROGRAMS & variables_of(pool)
    # Prefect adds a run's own `env` to a mapping in the template, whatever the variables are.
    assert not isinstance(pool["job_configuration"].get("env"), dict)
    assert pool["variables"]["additionalProperties"] is False


def test_every_run_has_the_same_environment_in_each_pool() -> None:
    assert template("process")["job_configuration"]["env"] == f"{{{{ prefect.variables.{ENVIRONMENT} }}}}"
    pod = template("kubernetes")["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert {entry["name"]: entry["value"] for entry in container["env"]} == RUN_ENVIRONMENT


def test_a_pod_gets_its_gpus_and_room_for_shared_memory_and_for_checkpoints() -> None:
    from prefect.utilities.templating import apply_values

    pool = template("kubernetes")
    properties = pool["variables"]["properties"]
    defaults = {name: each["default"] for name, each in properties.items() if "default" in each}
    job = apply_values(pool["job_configuration"], defaults | {"gpus": 8, "scratch": "300Gi"})
    pod = job["job_manifest"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 8}
    assert container["resources"]["requests"] == {"ephemeral-storage": "300Gi"}
    volumes = {volume["name"]: volume["emptyDir"] for volume in pod["volumes"]}
    mounted = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
    assert mounted["/dev/shm"] == {"medium": "Memory", "sizeLimit": "16Gi"}
    # Where temporary files are, and so the work folder of a training that names none.
    assert mounted["/tmp"] == {"sizeLimit": "300Gi"}


def test_there_is_a_pool_for_processes_and_one_for_kubernetes() -> None:
    assert [path.stem for path in POOLS] == ["pool-kubernetes", "pool-process"]


def test_a_run_is_taken_for_lost_after_three_heartbeats() -> None:
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    (automation,) = [AutomationCore.model_validate(definition) for definition in automation_definitions()]
    trigger = automation.trigger
    assert isinstance(trigger, EventTrigger)
    assert trigger.posture is Posture.Proactive
    assert trigger.within.total_seconds() == 3 * int(RUN_ENVIRONMENT["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
    for deployment in _deployments():
        assert "job_variables" not in deployment["work_pool"]
        (tag,) = deployment["tags"]
        related = json.dumps(trigger.model_dump(mode="json")["match_related"])
        assert f"prefect.tag.{tag}" in related


def test_the_deployments_are_those_of_the_design() -> None:
    assert [(found["name"], found["entrypoint"]) for found in _deployments()] == [
        ("iteration", "flows/iteration.py:iteration"),
        ("evolve", "flows/evolve.py:evolve"),
    ]


def _deployments() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    return found
