"""What a Prefect server must have before rzero is deployed to it: the pool, the limit, the automation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

POOL = "rzero"
DEVICE_LIMIT = "gpu"
HERE = Path(__file__).parent


def set_up_server(pool_type: str, device_slots: int) -> Iterator[str]:
    """Create what is missing at the API in use; a line for people on each thing.

    A pool and a limit that exist are left as they are, since a team may have changed them; the automation
    is brought to what `automations.yaml` says.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield f"work pool    {_pool(client, pool_type)}"
        yield f"limit        {_limit(client, device_slots)}"
        for line in _automations(client):
            yield f"automation   {line}"


def _pool(client: Any, pool_type: str) -> str:
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound

    try:
        pool, fate = client.read_work_pool(POOL), "is there"
    except ObjectNotFound:
        template = json.loads((HERE / f"pool-{pool_type}.json").read_text())
        wanted = WorkPoolCreate(name=POOL, type=pool_type, base_job_template=template)
        pool, fate = client.create_work_pool(wanted), "created"
    return f"{pool.name} ({pool.type}), {fate}"


def _limit(client: Any, slots: int) -> str:
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
    from prefect.exceptions import ObjectNotFound

    try:
        found = client.read_global_concurrency_limit_by_name(DEVICE_LIMIT)
        return f"{DEVICE_LIMIT}, {found.limit} at once, is there"
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=DEVICE_LIMIT, limit=slots))
        return f"{DEVICE_LIMIT}, {slots} at once, created"


def automation_definitions() -> list[dict[str, Any]]:
    """What `automations.yaml` says."""
    import yaml

    found: list[dict[str, Any]] = yaml.safe_load((HERE / "automations.yaml").read_text())["automations"]
    return found


def _automations(client: Any) -> Iterator[str]:
    from prefect.events.schemas.automations import AutomationCore

    for definition in automation_definitions():
        wanted = AutomationCore.model_validate(definition)
        existing = client.read_automations_by_name(wanted.name)
        if existing:
            client.update_automation(existing[0].id, wanted)
        else:
            client.create_automation(wanted)
        yield f"{wanted.name}, {'is up to date' if existing else 'created'}"
