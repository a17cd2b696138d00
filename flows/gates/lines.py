"""What people are told of a run's gates: in the log, by `rzero status`, in the overview and the report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from data.config import DEFAULT_STORE, RunConfig
from flows.gates.verdict import Figures, Tripped, tripped
from flows.summary import FinishedStep
from infra.store.store import Store
from tasks.stage.solvers import ChosenSolver, chosen_solvers


def figures_of(steps: Sequence[FinishedStep]) -> list[Figures]:
    """The figures of each iteration from 0 on, without those of outdated artifacts."""
    found: list[dict[str, Mapping[str, Any]]] = [{} for _ in range(steps[-1].step.iteration + 1)]
    for item in steps:
        if item.manifest and not item.step.is_earlier:
            found[item.step.iteration][item.step.stage] = item.manifest.figures
    return list(found)


def all_tripped(config: RunConfig, steps: Sequence[FinishedStep]) -> list[Tripped]:
    """The gates that a run has tripped, iteration by iteration, as they are set now."""
    figures = figures_of(steps)
    return [each for last in range(1, len(figures)) for each in tripped(config.gates, figures[: last + 1])]


def gate_lines(store: Store, config: RunConfig, steps: Sequence[FinishedStep]) -> list[str]:
    """A line for each gate that has tripped, and for each iteration that began with an earlier Solver."""
    chosen = chosen_solvers(store, config.run)
    told = [(each.iteration, str(each)) for each in all_tripped(config, steps)]
    # It begins after what the iteration before has tripped.
    told += [(number - 1, choice_line(number, choice)) for number, choice in chosen.items()]
    return [line for _, line in sorted(told, key=lambda pair: pair[0])]


def choice_line(iteration: int, chosen: ChosenSolver) -> str:
    """With which Solver an iteration begins, and why."""
    whose = f"the Solver of iteration {chosen.solver_of}" if chosen.solver_of else "the base model as Solver"
    return f"iteration {iteration} begins with {whose}: {chosen.why}"


def stopping(config: RunConfig, steps: Sequence[FinishedStep], iteration: int) -> list[Tripped]:
    """The gates that keep this iteration from going on: those that it or the one before has tripped."""
    near = (iteration - 1, iteration)
    return [each for each in all_tripped(config, steps) if each.action == "stop" and each.iteration in near]


def stopped(config: RunConfig, steps: Sequence[FinishedStep]) -> list[Tripped]:
    """The gates that keep a run from going on where it stands; none where nothing of it is left."""
    left = next((item.step for item in steps if item.is_left), None)
    return stopping(config, steps, left.iteration) if left else []


def without(gates: Sequence[Tripped]) -> str:
    """What to add to a command so that it goes on although these gates have tripped."""
    return "".join(f" --set gates.{name}.action=off" for name in dict.fromkeys(each.gate for each in gates))


def stop_line(config: RunConfig, stopped_by: Sequence[Tripped]) -> str:
    """Which gates stop a run, where to see why, and how to go on."""
    first = stopped_by[0]
    where = "" if config.store == DEFAULT_STORE else f" --store {shlex.quote(config.store)}"
    return (
        f"stopped: {'; '.join(map(str, stopped_by))}. What is finished is kept. See rzero inspect "
        f"{config.run} --iteration {first.iteration} --stage {first.stage}{where}; to go on all the same, "
        f"turn it off or set another threshold: rzero run --run {config.run}{where}{without(stopped_by)}"
    )
