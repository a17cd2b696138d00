"""What a Prefect server needs before rzero is deployed to it: the pool, the limit, the automation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, WorkPoolCreate
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound

from infra.deploy import POOL

DEVICE_LIMIT = "gpu"
HERE = Path(__file__).parent


def set_up_server(pool_type: str, device_slots: int) -> Iterator[str]:
    """Create what the Prefect API in use lacks; yields one line on each thing, for people.

    An existing pool or limit is left alone, since a team may have changed it. An automation is updated only
    if it differs from `automations.yaml`.
    """
    with get_client(sync_client=True) as client:
        yield f"work pool    {_pool(client, pool_type)}"
        yield f"limit        {_limit(client, device_slots)}"
        for line in _automations(client):
            yield f"automation   {line}"


def _pool(client: Any, pool_type: str) -> str:
    try:
        pool, fate = client.read_work_pool(POOL), "is there"
    except ObjectNotFound:
        template = json.loads((HERE / f"pool-{pool_type}.json").read_text())
        wanted = WorkPoolCreate(name=POOL, type=pool_type, base_job_template=template)
        pool, fate = client.create_work_pool(wanted), "created"
    return f"{pool.name} ({pool.type}), {fate}"


def _limit(client: Any, slots: int) -> str:
    try:
        found = client.read_global_concurrency_limit_by_name(DEVICE_LIMIT)
        return f"{DEVICE_LIMIT}, {found.limit} at once, is there"
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=DEVICE_LIMIT, limit=slots))
        return f"{DEVICE_LIMIT}, {slots} at once, created"


def automation_definitions() -> list[dict[str, Any]]:
    """What `automations.yaml` says."""
    found: list[dict[str, Any]] = yaml.safe_load((HERE / "automations.yaml").read_text())["automations"]
    return found


def _automations(client: Any) -> Iterator[str]:
    for definition in automation_definitions():
        wanted = AutomationCore.model_validate(definition)
        existing = client.read_automations_by_name(wanted.name)
        if not existing:
            client.create_automation(wanted)
            fate = "created"
        elif _content(existing[0]) == _content(wanted):
            # An update forgets the heartbeats so far: a node lost just now would never be noticed.
            fate = "is there"
        else:
            client.update_automation(existing[0].id, wanted)
            fate = "updated"
        yield f"{wanted.name}, {fate}"


def _content(automation: Any) -> Any:
    """The content of an automation, without the server's ids and whatever the order of its sets."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if key != "id" and item is not None}
        if isinstance(value, list):
            return sorted((plain(item) for item in value), key=str)
        return value

    return plain(automation.model_dump(mode="json", include=set(AutomationCore.model_fields)))
