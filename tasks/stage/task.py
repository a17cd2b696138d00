"""How a stage becomes a Prefect task: keyed, found in the store before it is made, retried, published.

    @stage("train_solver")
    def train_solver(work: Work, solver: ArtifactRef, curriculum: ArtifactRef) -> None: ...

is then called as `train_solver(run, solver=..., curriculum=...)` within a flow and returns the
`ArtifactRef` of the finished artifact. The body only makes files; everything else happens here.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from prefect import Task, unmapped
from prefect.cache_policies import CachePolicy
from prefect.futures import PrefectFutureList
from prefect.task_engine import TaskRunTimeoutError
from prefect.tasks import MaterializingTask, exponential_backoff
from prefect.utilities.annotations import opaque
from pydantic import BaseModel, ConfigDict

from data.config import RunConfig
from infra.artifacts.artifact import ArtifactRef, Location, newest_generation, sha256
from infra.artifacts.damage import find_or_set_aside
from infra.artifacts.results import result_storage, results_path
from infra.run_log import follow_runs
from infra.samplers import release_sampler
from infra.store.lease import holder_name, lease_or_result
from infra.store.store import Store
from tasks.publish.assets import MATERIALIZED_BY, asset_keys
from tasks.publish.cards import publish_stage
from tasks.publish.progress import report_begun, report_parts
from tasks.stage.device_slot import device_slot
from tasks.stage.graph import STAGES, locate
from tasks.stage.retries import StageTimeout, is_transient, with_smaller_batches
from tasks.stage.work import Work, find_part, lease_path

RETRIES = 2
follow_runs()
after_stage: ContextVar[Callable[[], None] | None] = ContextVar("after_stage", default=None)
"""What a flow does whenever a stage that it called has finished."""
_PARTS = "parts"
"""The argument in which the shards of an artifact are handed to the task that gathers them."""


class Run(BaseModel):
    """What every task is handed: the resolved configuration and the iteration it works for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: RunConfig
    iteration: int

    @property
    def store(self) -> Store:
        """The store of the run."""
        return Store(self.config.store)


@dataclass
class _ArtifactCache(CachePolicy):
    """The artifact's key as cache key; a result counts only while its artifact is in the store."""

    stage_name: str = ""

    def compute_key(self, task_ctx: Any, inputs: dict[str, Any], flow_parameters: Any, **more: Any) -> str:
        """The key; a result of an artifact that is gone is dropped first."""
        run: Run = inputs["run"]
        store, location = run.store, _location(run, self.stage_name, inputs)
        part = inputs.get("part")
        made = find_or_set_aside(store, location)
        location, _ = newest_generation(store, location)
        name = location.name if part is None else f"{location.name}-part-{part:05d}"
        # A reference names the place it lies in: a store that was moved or mirrored has results of its own.
        key = f"{run.config.run}-{name}-{sha256(store.uri.encode())[:16]}"
        if part is not None:
            made = find_part(store, location, part)
        if made is None:
            store.remove(f"{results_path()}/{key}")
        return key


class StageTask:
    """A Prefect task that makes the artifact of a stage, or one part of it."""

    def __init__(self, stage_name: str, prefect_task: Task[..., ArtifactRef]) -> None:
        self.stage_name = stage_name
        self.prefect_task = prefect_task
        functools.update_wrapper(self, prefect_task.fn)

    def __call__(self, run: Run, **inputs: Any) -> ArtifactRef:
        """Run the task within a flow and wait for its artifact.

        Raises what the task, or the first of its parts that failed, raised; StageTimeout for a time limit.
        """
        # What its artifact is not made from, as this run is configured, is kept from the body.
        made_from = (*STAGES[self.stage_name].inputs_in(run.config, run.iteration), _PARTS)
        inputs = {name: value if name in made_from else None for name, value in inputs.items()}
        each: Any = self._configured(run, **self._assets(run, inputs))
        try:
            for value in inputs.values():
                if isinstance(value, PrefectFutureList):
                    # All of them, whatever one comes to: what is finished need not be made again.
                    value.wait()
                    value.result()
            made: ArtifactRef = each(
                run=opaque(run), **{name: _opaque_reference(value) for name, value in inputs.items()}
            )
        except TaskRunTimeoutError:
            limit = self._limit(run)
            raise StageTimeout(
                f"{self.stage_name} of iteration {run.iteration} took longer than its limit of {limit} s, "
                f"{RETRIES + 1} times; its checkpoints and shards are kept. If it needs longer, raise "
                f"timeout_seconds.{self.stage_name}; else see in the log what it waited for"
            ) from None
        if (then := after_stage.get()) is not None:
            then()
        return made

    def map_parts(self, run: Run, parts: int, **inputs: ArtifactRef) -> PrefectFutureList[ArtifactRef]:
        """One task run for each part."""
        fixed = {name: unmapped(_opaque_reference(value)) for name, value in inputs.items()}
        each: Any = self._configured(run)
        found: PrefectFutureList[ArtifactRef] = each.map(
            run=unmapped(opaque(run)), part=list(range(parts)), of=unmapped(parts), **fixed
        )
        return found

    def _configured(self, run: Run, **options: Any) -> Task[..., ArtifactRef]:
        return self.prefect_task.with_options(
            result_storage=result_storage(run.store), timeout_seconds=self._limit(run), **options
        )

    def _assets(self, run: Run, inputs: Mapping[str, Any]) -> dict[str, list[str]]:
        """The artifact and what it is made from, as Prefect's assets."""
        made_from = _inputs(run, self.stage_name, inputs)
        made = run.store.uri_of(_location(run, self.stage_name, inputs).path)
        return {
            "assets": asset_keys([made]),
            "asset_deps": asset_keys(ref.uri for ref in made_from.values()),
        }

    def _limit(self, run: Run) -> int | None:
        return run.config.timeout_seconds.get(self.stage_name)


def _opaque_reference(value: Any) -> Any:
    """An input as Prefect draws it: an arrow from the task that made the reference.

    Prefect would look into the reference as well, and draw arrows for each digest or word in it that it has
    met in the result of another task.
    """
    return opaque(value) if isinstance(value, ArtifactRef) else value


def stage(name: str) -> Callable[[Callable[..., None]], StageTask]:
    """Make a task of a function that writes the artifact of a stage."""

    def decorate(body: Callable[..., None]) -> StageTask:
        body = with_smaller_batches(body)

        def make(run: Run, **inputs: Any) -> ArtifactRef:
            store, location = run.store, _location(run, name, inputs)
            if (made := find_or_set_aside(store, location)) is not None:
                return made
            location, _ = newest_generation(store, location)
            find = functools.partial(find_or_set_aside, store, location)
            with lease_or_result(store, lease_path(location), _holder(run, name), find) as found:
                if isinstance(found, ArtifactRef):
                    return found
                work = Work(run.config, run.iteration, store, location)
                work.lease = found
                if _PARTS not in inputs:
                    report_begun(work)
                    # It shares no sampler: one that an earlier stage has left open would only take memory.
                    release_sampler()
                work.clear_writers()
                if not work.adopt():
                    with device_slot(work.stage, gathers=_PARTS in inputs):
                        body(work, **inputs)
                found.check()
                ref = work.commit(_inputs(run, name, inputs))
            publish_stage(work, ref)
            return ref

        return _as_task(make, body, name, name, "{run.config.run} iteration {run.iteration}")

    return decorate


def part_of(name: str) -> Callable[[Callable[..., None]], StageTask]:
    """Make a task of a function that writes one part (a shard) of the artifact of a stage."""

    def decorate(body: Callable[..., None]) -> StageTask:
        body = with_smaller_batches(body)

        def make(run: Run, part: int, of: int, **inputs: Any) -> ArtifactRef:
            store, location = run.store, _location(run, name, inputs)
            # What cannot be finished is set aside now: its parts would not count.
            find_or_set_aside(store, location)
            location, _ = newest_generation(store, location)
            find = functools.partial(find_part, store, location, part)
            lease, holder = lease_path(location, part), _holder(run, f"{name}, part {part},")
            with lease_or_result(store, lease, holder, find) as found:
                if isinstance(found, ArtifactRef):
                    return found
                work = Work(run.config, run.iteration, store, location)
                work.lease = found
                report_parts(work, of)
                if not work.adopt_part(part):
                    with device_slot(work.stage):
                        body(work, part, **inputs)
                found.check()
                ref = work.commit_part(part)
            report_parts(work, of, one_more=True)
            return ref

        run_name = "{run.config.run} iteration {run.iteration} part {part}"
        of = inspect.Parameter("of", inspect.Parameter.KEYWORD_ONLY, annotation=int)
        return _as_task(make, body, name, f"{name}_part", run_name, (of,))

    return decorate


def _as_task(
    make: Callable[..., ArtifactRef],
    body: Callable[..., None],
    stage_name: str,
    task_name: str,
    run_name: str,
    more: Sequence[inspect.Parameter] = (),
) -> StageTask:
    # Prefect binds arguments by signature: the task takes a Run where the body takes its Work.
    named = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in list(inspect.signature(body).parameters.values())[1:]
    ]
    run = inspect.Parameter("run", inspect.Parameter.KEYWORD_ONLY, annotation=Run)
    make.__signature__ = inspect.Signature([run, *named, *more])  # type: ignore[attr-defined]
    make.__name__, make.__doc__, make.__module__ = task_name, body.__doc__, body.__module__
    make.__qualname__ = task_name
    # Which assets it makes is known once it is called.
    prefect_task = MaterializingTask(
        fn=make,
        assets=(),
        materialized_by=MATERIALIZED_BY,
        name=task_name,
        task_run_name=f"{task_name}: {run_name}",
        cache_policy=_ArtifactCache(stage_name=stage_name),
        persist_result=True,
        result_serializer="json",
        retries=RETRIES,
        retry_delay_seconds=exponential_backoff(backoff_factor=2),
        retry_condition_fn=_state_can_pass,
    )
    return StageTask(stage_name, prefect_task)


def _state_can_pass(task: Any, task_run: Any, state: Any) -> bool:
    """Whether what failed the task can pass by itself."""
    error = state.data if isinstance(state.data, BaseException) else getattr(state.data, "result", None)
    return is_transient(error)


def _holder(run: Run, what: str) -> str:
    """Who makes something, as others who want the same are told."""
    return holder_name(f"{what} of iteration {run.iteration} of {run.config.run}")


def _location(run: Run, name: str, inputs: Mapping[str, Any]) -> Location:
    return locate(run.config, run.iteration, name, _inputs(run, name, inputs))


def _inputs(run: Run, name: str, inputs: Mapping[str, Any]) -> dict[str, ArtifactRef]:
    """What of a task's arguments its artifact is made from."""
    return {key: inputs[key] for key in STAGES[name].inputs_in(run.config, run.iteration)}


def part_count(items: int, shard_size: int) -> int:
    """How many parts hold so many items."""
    return -(-items // shard_size)


def shard_range(part: int, items: int, shard_size: int) -> range:
    """The items of a part."""
    return range(part * shard_size, min(items, (part + 1) * shard_size))
