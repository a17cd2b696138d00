"""Which steps of a run are finished: the graph, walked through the store. Nothing here asks Prefect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from data.config import RunConfig
from infra.artifacts.artifact import ArtifactRef, DamagedArtifact, Location, find_manifest, ref_of
from infra.artifacts.lineage import newest_location
from infra.store.store import Store
from tasks.stage.graph import STAGES, locate, stage_names
from tasks.stage.solvers import ChosenSolver, chosen_solvers

Outcome = dict[str, ArtifactRef]
"""What an iteration has made: artifacts by their stage, models by their role as well."""


@dataclass(frozen=True)
class Step:
    """One stage of one iteration of a run.

    `location` is None while an input of it is unfinished; `damage` says what is wrong with an artifact that
    the next run will set aside and make again. `is_earlier` marks an artifact under another key: an earlier
    version of rzero made it, or other inputs; it can be read, and the next run makes it anew.
    """

    iteration: int
    stage: str
    location: Location | None
    ref: ArtifactRef | None
    damage: str | None = None
    is_earlier: bool = False


def walk(store: Store, config: RunConfig, iterations: int) -> list[Step]:
    """All steps of iterations 0 to `iterations`, finished or not, from the store alone."""
    steps: list[Step] = []
    outcomes: list[Outcome] = []
    chosen = chosen_solvers(store, config.run) if iterations > 1 else {}
    for iteration in range(iterations + 1):
        found = walk_iteration(store, config, iteration, begins_with(outcomes, chosen.get(iteration)))
        steps += found
        outcomes.append(outcome_of(found))
    return steps


def begins_with(outcomes: Sequence[Outcome], chosen: ChosenSolver | None) -> Outcome:
    """What an iteration begins with, given what each before it ended with: what the last ended with.

    Only its Solver may be an earlier one, where a gate chose so.
    """
    if chosen is None:
        return outcomes[-1] if outcomes else {}
    others = {name: ref for name, ref in outcomes[-1].items() if name != "solver"}
    return others | {name: ref for name, ref in outcomes[chosen.solver_of].items() if name == "solver"}


def walk_iteration(store: Store, config: RunConfig, iteration: int, ended: Outcome) -> list[Step]:
    """The steps of one iteration, given what it begins with."""
    made: Outcome = {}
    steps: list[Step] = []
    for stage in stage_names(iteration):
        sources = STAGES[stage].inputs_in(config, iteration)
        found = {name: (ended if each.before else made).get(each.made_as) for name, each in sources.items()}
        inputs = {name: ref for name, ref in found.items() if ref is not None}
        location = locate(config, iteration, stage, inputs) if len(inputs) == len(sources) else None
        step = Step(iteration, stage, None, None) if location is None else _look(store, location)
        if step.ref is not None:
            made |= _made(stage, step.ref)
        steps.append(step)
    return steps


def readable_steps(store: Store, config: RunConfig, iterations: int) -> list[Step]:
    """As `walk`, and where a stage has nothing under today's key, the newest artifact that it has.

    For reading alone, so that a store which an earlier version of rzero made can still be looked at. A stage
    that the earlier version did not have is left out.
    """
    steps = [_or_earlier(store, config.run, step) for step in walk(store, config, iterations)]
    skipped = {
        (step.iteration, source.made_as)
        for step in steps
        if step.is_earlier
        for source in STAGES[step.stage].inputs.values()
        if not source.before
    }
    return [step for step in steps if step.ref or step.damage or (step.iteration, step.stage) not in skipped]


def _or_earlier(store: Store, run: str, step: Step) -> Step:
    if step.ref is not None or step.damage is not None:
        return step
    location = newest_location(store, run, step.iteration, step.stage)
    earlier = _look(store, location) if location else step
    return step if earlier.ref is None else replace(earlier, is_earlier=True)


def _look(store: Store, location: Location) -> Step:
    """The step whose artifact is, or will be, at this location."""
    try:
        found = find_manifest(store, location)
    except DamagedArtifact as damage:
        return Step(location.iteration, location.stage, location, None, str(damage))
    ref = None
    if found is not None:
        location, ref = found.location, ref_of(store, *found)
    return Step(location.iteration, location.stage, location, ref)


def needed_later() -> frozenset[str]:
    """The stages that later iterations are made from, directly or not: all but the evaluations."""
    wanted = {
        source.made_as for stage in STAGES.values() for source in stage.inputs.values() if source.before
    }
    found = set()
    for name, stage in reversed(STAGES.items()):
        if not wanted.isdisjoint((name, *stage.role)):
            found.add(name)
            wanted |= {source.made_as for source in stage.inputs.values()}
    return frozenset(found)


def outcome_of(steps: Iterable[Step]) -> Outcome:
    """What the steps of an iteration have made so far."""
    outcome: Outcome = {}
    for step in steps:
        if step.ref is not None:
            outcome |= _made(step.stage, step.ref)
    return outcome


def _made(stage: str, ref: ArtifactRef) -> Outcome:
    return dict.fromkeys((stage, *STAGES[stage].role), ref)
