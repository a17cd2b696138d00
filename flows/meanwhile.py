"""What other flow runs did while this one waited for its turn, and what they left behind."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.context import FlowRunContext

from data.config import RunConfig
from flows.start import unfinished_steps
from infra.artifacts.artifact import read_manifest
from infra.deploy import endings
from infra.store.store import Store
from tasks.stage.walk import walk


def crash_what_the_dead_left() -> None:
    """Mark what Crashed and Cancelled flow runs left Running, if the server answers.

    To be called before the first task: what this flow run has under way then is of an attempt that is dead.
    """
    context = FlowRunContext.get()
    this = str(context.flow_run.id) if context and context.flow_run else None
    with get_client(sync_client=True) as client, contextlib.suppress(httpx.HTTPError):
        endings.crash_what_the_dead_left(client, this)


def finished_meanwhile(config: RunConfig) -> str | None:
    """What to say where the iteration that this flow run was started for is finished already.

    A flow run without a number is for the first iteration that is unfinished when it is started. Where
    another finishes that one while it waits, it has nothing left to do: the next iteration takes hours, and a
    second click must not cost them. None where it has work to do.
    """
    context = FlowRunContext.get()
    flow_run = context.flow_run if context else None
    if flow_run is None or flow_run.expected_start_time is None:
        return None
    unfinished = unfinished_steps(config)
    last = unfinished[0].iteration - 1 if unfinished else config.iterations
    started = flow_run.expected_start_time
    if last < 1 or _finished_at(config, last) <= started:
        return None
    by = _flow_run_that_finished(config, last, started)
    more = f"submit again for iteration {last + 1}" if unfinished else "no other is left"
    return f"iteration {last} was finished by {by} while this one waited; {more}"


def _finished_at(config: RunConfig, iteration: int) -> datetime:
    """When the last artifact of a finished iteration was finished."""
    store = Store(config.store)
    steps = [step for step in walk(store, config, iteration) if step.iteration == iteration]
    manifests = [read_manifest(store, step.location) for step in steps if step.location]
    times = [datetime.fromisoformat(each.finished_at) for each in manifests if each]
    return max(times, default=datetime.min.replace(tzinfo=UTC))


def _flow_run_that_finished(config: RunConfig, iteration: int, since: datetime) -> str:
    wanted = FlowRunFilter.model_validate(
        {
            "name": {"like_": f"{config.run} iteration {iteration} ("},
            "state": {"type": {"any_": ["COMPLETED"]}},
            "end_time": {"after_": since},
        }
    )
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_run_filter=wanted, limit=1)
    return f"flow run {found[0].id}" if found else "another flow run"
