"""What a Prefect server needs before rzero is deployed to it: the pool, the limit, the automation.

A run chooses none of the programs that its worker starts: the pools' templates take no command, environment,
folder or image from a run. What every run has in its environment stands in the template, or in a variable of
the server that the template names (to a mapping in the template Prefect would add a run's own `env`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    VariableCreate,
    WorkPoolCreate,
    WorkPoolUpdate,
)
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr

from infra.deploy import POOL

DEVICE_LIMIT = "gpu"
WEBHOOK = "rzero"
HERE = Path(__file__).parent
ENVIRONMENT = "rzero_environment"
RUN_ENVIRONMENT = {
    # A run whose heartbeats stop is marked Crashed by the automation in automations.yaml.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    # The global concurrency limit of which a stage takes a slot while it uses the device.
    "RZERO_DEVICE_LIMIT": DEVICE_LIMIT,
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TOKENIZERS_PARALLELISM": "false",
}
"""Environment of every run, beside its worker's."""
PROGRAMS = {
    *("command", "env", "working_dir", "image", "cluster_config"),
    *("namespace", "service_account_name", "store_secret"),
}
"""Variables by which a template would let a run choose what its worker starts, where, with which rights."""


def set_up_server(pool_type: str, device_slots: int) -> Iterator[str]:
    """Create what the Prefect API in use lacks; yields one line on each thing, for people.

    An existing pool, variable or limit is left alone, since a team may have changed it; but a pool of
    processes whose runs could name programs is closed. An automation is updated only if it differs from
    `automations.yaml`.
    """
    with get_client(sync_client=True) as client:
        yield f"work pool    {_pool(client, pool_type)}"
        yield f"variable     {_variable(client)}"
        yield f"limit        {_limit(client, device_slots)}"
        for line in _automations(client, automation_definitions()):
            yield f"automation   {line}"


def set_up_notifications(url: str) -> Iterator[str]:
    """Have the server call this URL when a run needs a person; yields lines as `set_up_server` does.

    The URL, which is often a secret, is kept in a block of the server's, encrypted.
    """
    from prefect.blocks.webhook import Webhook

    block = Webhook(url=SecretStr(url)).save(WEBHOOK, overwrite=True)
    yield f"block        webhook/{WEBHOOK}, saved"
    definitions = automation_definitions("notifications.yaml")
    for definition in definitions:
        for action in definition["actions"]:
            action["block_document_id"] = str(block)
    with get_client(sync_client=True) as client:
        for line in _automations(client, definitions):
            yield f"automation   {line}"


def _pool(client: Any, pool_type: str) -> str:
    try:
        pool, fate = client.read_work_pool(POOL), "is there"
    except ObjectNotFound:
        wanted = WorkPoolCreate(name=POOL, type=pool_type, base_job_template=template(pool_type))
        pool, fate = client.create_work_pool(wanted), "created"
    if left_open := sorted(PROGRAMS & variables_of(pool.base_job_template)):
        named = ", ".join(left_open)
        if pool.type == "process":
            client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template(pool.type)))
            fate = f"closed: a run could set {named}"
        else:
            fate = f"is there, but LETS A RUN SET {named}; take that out of its template (docs/deployment.md)"
    return f"{pool.name} ({pool.type}), {fate}"


def template(pool_type: str) -> dict[str, Any]:
    """The job template of `pool-<type>.json`."""
    found: dict[str, Any] = json.loads((HERE / f"pool-{pool_type}.json").read_text())
    return found


def variables_of(template: dict[str, Any]) -> set[str]:
    """Names of the job variables that a template puts into the job."""
    return set(re.findall(r"{{ *(\w+) *}}", json.dumps(template.get("job_configuration", {}))))


def _variable(client: Any) -> str:
    if client.read_variable_by_name(ENVIRONMENT):
        return f"{ENVIRONMENT}, is there"
    client.create_variable(VariableCreate(name=ENVIRONMENT, value=RUN_ENVIRONMENT))
    return f"{ENVIRONMENT}, created"


def _limit(client: Any, slots: int) -> str:
    try:
        found = client.read_global_concurrency_limit_by_name(DEVICE_LIMIT)
        return f"{DEVICE_LIMIT}, {found.limit} at once, is there"
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=DEVICE_LIMIT, limit=slots))
        return f"{DEVICE_LIMIT}, {slots} at once, created"


def automation_definitions(file: str = "automations.yaml") -> list[dict[str, Any]]:
    """What a file of automations says."""
    found: list[dict[str, Any]] = yaml.safe_load((HERE / file).read_text())["automations"]
    return found


def _automations(client: Any, definitions: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for definition in definitions:
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
