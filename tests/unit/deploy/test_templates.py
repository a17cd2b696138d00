"""The templates for a team's server: whole, and such that Prefect takes them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.deploy.setup import automation_definitions

ROOT = Path(__file__).parents[3]
POOLS = sorted((ROOT / "infra/deploy").glob("pool-*.json"))


@pytest.mark.parametrize("path", POOLS, ids=lambda path: path.stem)
def test_every_variable_of_a_pool_is_declared_and_used(path: Path) -> None:
    from prefect.client.schemas.actions import WorkPoolCreate

    template = json.loads(path.read_text())
    pool_type = path.stem.removeprefix("pool-")
    assert WorkPoolCreate(name="rzero", type=pool_type, base_job_template=template)
    used = set(re.findall(r"{{ (\w+) }}", json.dumps(template["job_configuration"])))
    assert used == set(template["variables"]["properties"])


def test_there_is_a_pool_for_processes_and_one_for_kubernetes() -> None:
    assert [path.stem for path in POOLS] == ["pool-kubernetes", "pool-process"]


def test_a_run_is_taken_for_lost_after_three_heartbeats() -> None:
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    (automation,) = [AutomationCore.model_validate(definition) for definition in automation_definitions()]
    trigger = automation.trigger
    assert isinstance(trigger, EventTrigger)
    assert trigger.posture is Posture.Proactive
    for deployment in _deployments():
        beat = int(deployment["work_pool"]["job_variables"]["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
        assert trigger.within.total_seconds() == 3 * beat
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
