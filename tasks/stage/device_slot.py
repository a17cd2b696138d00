"""Runs share the device: a stage that uses it takes a slot of a global concurrency limit.

`RZERO_DEVICE_LIMIT` names the limit (the deployments set it to `gpu`). Without it nothing is limited,
and a limit that the server does not have lets everything through.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator

from infra.samplers import release_sampler
from tasks.stage.graph import STAGES, Stage

LEASE_SECONDS = 60.0
"""How long a killed holder keeps its slot."""

log = logging.getLogger("rzero.stage")

_lock = threading.Lock()
_users = 0
_held = contextlib.ExitStack()


@contextlib.contextmanager
def device_slot(stage: Stage, gathers: bool = False) -> Iterator[None]:
    """Hold a slot while the stage works; the shards of one process share a sampler and so a slot.

    A stage that only `gathers` the work of its shards needs none. One that has to wait says so in its log.
    Whoever has the slot next finds the device free: the shared sampler is closed before it is given back.
    """
    name = os.environ.get("RZERO_DEVICE_LIMIT")
    if not name or gathers or not stage.uses_device:
        yield
        return
    from prefect.concurrency.sync import concurrency

    global _users
    with _lock:
        if _users == 0:
            if waits := _waits_for(name):
                log.info("%s: %s", stage.name, waits)
            _held.enter_context(concurrency(name, occupy=1, lease_duration=LEASE_SECONDS, strict=False))
            _held.callback(release_sampler)
            if waits:
                log.info("%s: has its slot of %s", stage.name, name)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _held.close()


def _waits_for(name: str) -> str | None:
    """What somebody who wants a slot now waits for; None where one is free or there is no such limit."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        TaskRunFilter,
        TaskRunFilterState,
        TaskRunFilterStateType,
    )
    from prefect.client.schemas.filters import FlowRunFilterStateType as FlowState
    from prefect.client.schemas.objects import StateType
    from prefect.exceptions import ObjectNotFound
    from prefect.runtime import flow_run

    with get_client(sync_client=True) as client:
        try:
            limit = client.read_global_concurrency_limit_by_name(name)
        except ObjectNotFound:
            return None
        if not limit.active or limit.active_slots < limit.limit:
            return None
        # Prefect does not tell who holds a slot: whoever is at work on the device, the longest first.
        running = TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.RUNNING]))
        alive = FlowRunFilterState(type=FlowState(any_=[StateType.RUNNING]))
        found = client.read_task_runs(
            flow_run_filter=FlowRunFilter(state=alive), task_run_filter=TaskRunFilter(state=running)
        )
    others = [
        run
        for run in found
        if str(run.flow_run_id) != flow_run.id and run.start_time is not None and _uses_device(run.name)
    ]
    others.sort(key=lambda run: str(run.start_time))
    names = list(dict.fromkeys(run.name.partition(" part ")[0].replace("_part:", ":") for run in others))
    taken = f"{limit.active_slots} of {limit.limit} taken"
    if not names:
        return f"waits for a slot of {name} ({taken}, by nobody who is seen to work)"
    by = "by" if len(names) <= limit.limit else "at work or waiting:"
    return f"waits for a slot of {name} ({taken} {by} {'; '.join(names)})"


def _uses_device(task_run: str) -> bool:
    stage = STAGES.get(task_run.partition(":")[0].removesuffix("_part"))
    return stage is not None and stage.uses_device
