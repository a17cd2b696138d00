"""How a flow run begins: its configuration, resolved and frozen, and what the previous iteration made."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from data import benchmarks
from data.benchmark import BenchmarkError
from data.config import DEFAULT_STORE, RunConfig
from data.resolve import ConfigError, overridden, resolve, split_overrides
from flows.errors import log_mendable_in_one_line
from flows.gates.check import check_gates
from infra.artifacts.artifact import ArtifactRef
from infra.artifacts.problems import freeze, pinned_data
from infra.artifacts.runs import SAVED_ANEW, freeze_run, load_run
from infra.keys import clean_environment
from infra.plan.here import check_run_fits
from infra.run_log import run_log
from infra.store.store import Store
from infra.trackers.open import check_trackers
from tasks.curriculum.examples import with_examples
from tasks.evaluate import evaluate
from tasks.prepare_base_model import check_base_model, prepare_base_model
from tasks.rewards.challenger import settled
from tasks.sample_evaluation import sample_evaluation
from tasks.stage.graph import STAGES
from tasks.stage.solvers import chosen_solvers
from tasks.stage.task import Run
from tasks.stage.walk import Outcome, Step, begins_with, outcome_of, walk, walk_iteration

Overrides = Sequence[str] | Mapping[str, Any]


def begin(
    run: str,
    preset: str | None = None,
    store: str | None = None,
    overrides: Overrides = (),
    iterations: int | None = None,
    iteration: int | None = None,
) -> RunConfig:
    """The configuration of a new run, resolved once and frozen in the store, or that of the run that goes on.

    The name is enough for an existing run; anything else given must agree with it. `iteration` is the one
    that is about to run. Raises ConfigError or StoreError, and then writes nothing.
    """
    log_mendable_in_one_line()
    clean_environment()
    if iteration is not None and iteration < 1:
        raise ConfigError(f"iteration: must be 1 or greater, not {iteration}")
    store = store or os.environ.get("RZERO_STORE")
    place = Store(store or DEFAULT_STORE)
    existing = load_run(place, run)
    settings = overrides if isinstance(overrides, Mapping) else split_overrides(overrides)
    changes_nothing_frozen = all(key.partition(".")[0] in SAVED_ANEW for key in settings)
    if existing is not None and changes_nothing_frozen and preset in (None, existing.preset):
        changes = {"store": store or DEFAULT_STORE} | (
            {} if iterations is None else {"iterations": iterations}
        )
        config = overridden(existing, settings, changes)
        _check_what_may_change(config)
        ended_before(config, iteration or 1)
        if settings or config.iterations > existing.iterations:
            freeze_run(place, config)
        return config
    config = settled(resolve(run, "tiny" if preset is None else preset, overrides, store, iterations))
    config = with_examples(config)
    place = Store(config.store)
    existing = load_run(place, run)
    _check_what_may_change(config)
    if existing is None:
        check_run_fits(config)
    known = existing.evaluation.data if existing else {}
    try:
        fresh = pinned_data(place, config, known)
    except BenchmarkError as error:
        raise ConfigError(f"evaluation.benchmarks: {error}") from None
    if existing is None:
        if told := overruled_samples(config, settings):
            run_log().warning(told)
        check_base_model(config.base_model)
        place.check_writable()
    ended_before(config, iteration or 1)
    digests = {name: known[name] for name in config.evaluation.benchmarks if name in known}
    digests |= {name: freeze(place, name, problems) for name, problems in fresh.items()}
    evaluation = config.evaluation.model_copy(update={"data": dict(sorted(digests.items()))})
    config = config.model_copy(update={"evaluation": evaluation})
    freeze_run(place, config)
    return config


def _check_what_may_change(config: RunConfig) -> None:
    """ConfigError for a time limit, a tracker or a gate that cannot be."""
    for name in config.timeout_seconds:
        if name not in STAGES:
            raise ConfigError(
                f"timeout_seconds.{name}: there is no such stage; there are: {', '.join(STAGES)}"
            )
    check_trackers(config)
    check_gates(config)


def overruled_samples(config: RunConfig, settings: Mapping[str, Any]) -> str | None:
    """What to say where `settings` name benchmarks and the preset sets how often all are sampled, or None."""
    samples = config.evaluation.samples
    if samples is None or "evaluation.samples" in settings or "evaluation.benchmarks" not in settings:
        return None
    declared = {name: benchmarks.get(name).samples or 0 for name in config.evaluation.benchmarks}
    own = [f"{name}: {count or 'greedy alone'}" for name, count in declared.items() if count != samples]
    if not own:
        return None
    return (
        f"evaluation.samples={samples} of the preset {config.preset} overrules what benchmarks declare "
        f"({', '.join(own)}); evaluation.samples=null leaves it to them"
    )


def name_flow_run(name: str) -> None:
    """Name the current flow run; Prefect's templates see only parameters, which may be left out."""
    from prefect.client.orchestration import get_client
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    with get_client(sync_client=True) as client:
        client.update_flow_run(context.flow_run.id, name=name)


def first_unfinished(config: RunConfig) -> int:
    """The first iteration with an unfinished stage; the last one where all are finished."""
    unfinished = unfinished_steps(config)
    return min(max(unfinished[0].iteration, 1), config.iterations) if unfinished else config.iterations


def unfinished_steps(config: RunConfig) -> list[Step]:
    """What is still to be done."""
    return [step for step in walk(Store(config.store), config, config.iterations) if step.ref is None]


def starting_point(run: Run) -> tuple[ArtifactRef, ArtifactRef, ArtifactRef | None]:
    """What an iteration begins with: the previous one's Challenger, Solver and scored candidates.

    Where one model plays both roles, it is the previous Solver. The first begins with the base model as both,
    and without candidates.
    """
    if run.iteration == 1:
        base_run = Run(config=run.config, iteration=0)
        base = prepare_base_model(base_run)
        completions = sample_evaluation(base_run, solver=base)
        evaluate(base_run, completions=completions)
        return base, base, None
    ended = ended_before(run.config, run.iteration)
    starts_from = STAGES["train_challenger"].inputs_in(run.config, run.iteration)["challenger"].made_as
    return ended[starts_from], ended["solver"], ended.get("score_and_filter")


def ended_before(config: RunConfig, iteration: int) -> Outcome:
    """What an iteration begins with: what the one before ended with; ConfigError where that has no models."""
    if iteration < 2:
        return Outcome()
    store, outcomes = Store(config.store), list[Outcome]()
    chosen = chosen_solvers(store, config.run)
    for number in range(iteration):
        steps = walk_iteration(store, config, number, begins_with(outcomes, chosen.get(number)))
        outcomes.append(outcome_of(steps))
        if number and not {"challenger", "solver"} <= outcomes[number].keys():
            missing = next(step.stage for step in steps if step.ref is None)
            raise ConfigError(
                f"iteration {iteration} of {config.run!r} begins with the models of iteration "
                f"{iteration - 1}, but {missing} of iteration {number} is not finished; run that one first"
            )
    return begins_with(outcomes, chosen.get(iteration))
