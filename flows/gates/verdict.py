"""Which gates the figures of a run trip, and which of its Solvers is the best: figures in, verdict out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.gates import Action, GatesConfig

Figures = Mapping[str, Mapping[str, Any]]
"""The figures of one iteration by stage, as the manifests have them."""


@dataclass(frozen=True)
class Watched:
    """What a gate reads: of the stage the first of these figures that is known, or what is made of it."""

    stage: str
    figures: tuple[str, ...]
    trips_above: bool = False


WATCHED: dict[str, Watched] = {
    "valid_share": Watched("score_and_filter", ("valid_share",)),
    "unique_share": Watched("score_and_filter", ("unique_share",)),
    "kept_share": Watched("score_and_filter", ("kept_share",)),
    "label_accuracy": Watched("score_and_filter", ("label_accuracy", "label_accuracy_by_judge")),
    "truncated_share": Watched("sample_answers", ("truncated_share",), trips_above=True),
    "accuracy_drop": Watched("evaluate", ("pass@1",), trips_above=True),
}
"""By the name of the gate in `GatesConfig`."""


@dataclass(frozen=True)
class Tripped:
    """A gate whose figure, a share in [0, 1], has passed its threshold."""

    gate: str
    iteration: int
    stage: str
    figure: float
    threshold: float
    action: Action

    def __str__(self) -> str:
        side = "above" if WATCHED[self.gate].trips_above else "below"
        where = f"gate {self.gate} tripped in iteration {self.iteration}"
        return f"{where}: {self.figure:.3f} is {side} its threshold of {self.threshold:g}"


def tripped(gates: GatesConfig, iterations: Sequence[Figures]) -> list[Tripped]:
    """The gates that the last of these iterations trips, in their order; none is asked of the base model.

    `iterations` are those of a run from the base, 0, on. A gate whose figure is not known does not trip.
    """
    number = len(iterations) - 1
    found = []
    for name, gate in gates.by_name().items() if number > 0 else ():
        watched = WATCHED[name]
        figure = _drop(iterations) if name == "accuracy_drop" else _known(watched, iterations[-1])
        if gate.action == "off" or figure is None:
            continue
        if figure > gate.threshold if watched.trips_above else figure < gate.threshold:
            found.append(Tripped(name, number, watched.stage, figure, gate.threshold, gate.action))
    return found


def best_iteration(iterations: Sequence[Figures]) -> int | None:
    """The iteration with the highest pass@1, of equals the last; None where none is measured."""
    measured = [(pass_at_1(figures), number) for number, figures in enumerate(iterations)]
    known = [(value, number) for value, number in measured if value is not None]
    return max(known)[1] if known else None


def pass_at_1(figures: Figures) -> float | None:
    """pass@1 of an iteration's Solver; None where it is not measured."""
    return _known(WATCHED["accuracy_drop"], figures)


def _drop(iterations: Sequence[Figures]) -> float | None:
    """How far pass@1 of the last iteration is below the best before it."""
    before = [value for figures in iterations[:-1] if (value := pass_at_1(figures)) is not None]
    now = pass_at_1(iterations[-1])
    # As many digits as the figures have: 0.45 is 0.05 below 0.5, not a little more.
    return None if now is None or not before else round(max(before) - now, 6)


def _known(watched: Watched, figures: Figures) -> float | None:
    of_stage = figures.get(watched.stage, {})
    return next((of_stage[name] for name in watched.figures if of_stage.get(name) is not None), None)
