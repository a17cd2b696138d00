"""Which gates figures trip, and which Solver is the best: figures in, verdict out."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from data.gates import GatesConfig
from flows.gates.verdict import WATCHED, Figures, best_iteration, tripped

GATES = GatesConfig()
SOUND: dict[str, dict[str, Any]] = {
    "sample_answers": {"truncated_share": 0.0},
    "score_and_filter": {
        "valid_share": 1.0,
        "unique_share": 0.9,
        "kept_share": 0.4,
        "label_accuracy": 0.8,
    },
    "evaluate": {"pass@1": 0.5},
}


def _with(stage: str, **figures: Any) -> Figures:
    return SOUND | {stage: SOUND[stage] | figures}


def _scored(**figures: Any) -> Figures:
    return _with("score_and_filter", **figures)


def _accurate(value: float | None) -> Figures:
    return _with("evaluate", **{"pass@1": value})


def test_every_gate_is_watched_and_reads_a_figure() -> None:
    assert list(WATCHED) == list(GATES.by_name())
    assert not tripped(GATES, [SOUND, SOUND])


@pytest.mark.parametrize(
    ("figures", "gate", "figure"),
    [
        (_scored(valid_share=0.499), "valid_share", 0.499),
        (_scored(unique_share=0.1), "unique_share", 0.1),
        (_scored(kept_share=0.0), "kept_share", 0.0),
        (_scored(label_accuracy=0.23), "label_accuracy", 0.23),
        (_scored(label_accuracy=None, label_accuracy_by_judge=0.3), "label_accuracy", 0.3),
        (_with("sample_answers", truncated_share=0.51), "truncated_share", 0.51),
        (_accurate(0.44), "accuracy_drop", 0.06),
    ],
)
def test_a_figure_past_its_threshold_trips_its_gate_alone(figures: Figures, gate: str, figure: float) -> None:
    (found,) = tripped(GATES, [SOUND, figures])
    assert (found.gate, found.iteration, found.figure) == (gate, 1, pytest.approx(figure))
    assert (found.stage, found.action) == (WATCHED[gate].stage, "warn")


@pytest.mark.parametrize(
    "figures",
    [
        _scored(valid_share=0.5, unique_share=0.5, kept_share=0.05, label_accuracy=0.5),
        _with("sample_answers", truncated_share=0.5),
        _accurate(0.45),
        _accurate(0.9),
        _scored(label_accuracy=0.6, label_accuracy_by_judge=0.1),
    ],
    ids=["shares", "truncated", "drop", "rise", "the truth before the judge"],
)
def test_a_figure_at_its_threshold_does_not(figures: Figures) -> None:
    assert not tripped(GATES, [SOUND, figures])


@pytest.mark.parametrize(
    "figures",
    [{}, _scored(unique_share=None, label_accuracy=None), _accurate(None), {"evaluate": {"greedy": 0.0}}],
)
def test_a_gate_whose_figure_is_not_known_does_not_trip(figures: Figures) -> None:
    assert not tripped(GATES, [SOUND, figures])


def test_the_drop_is_from_the_best_of_all_before_and_the_base_counts() -> None:
    def drop(*values: float | None) -> list[float]:
        return [round(each.figure, 6) for each in tripped(GATES, [_accurate(value) for value in values])]

    assert drop(0.3, 0.6, 0.58, 0.5) == [0.1]
    assert drop(0.6, 0.5) == [0.1]
    assert drop(0.3, None, 0.2) == [0.1]
    assert drop(None, 0.2) == []
    assert drop(0.6) == []


def test_the_base_and_earlier_iterations_trip_nothing_any_more() -> None:
    low = _scored(kept_share=0.0)
    assert not tripped(GATES, [low])
    assert not tripped(GATES, [])
    assert not tripped(GATES, [SOUND, low, SOUND])


def test_a_gate_that_is_off_never_trips_and_another_threshold_holds() -> None:
    low = _scored(kept_share=0.1, valid_share=0.1)
    gates = GatesConfig.model_validate(
        {"valid_share": {"action": "off"}, "kept_share": {"threshold": 0.2, "action": "stop"}}
    )
    (found,) = tripped(gates, [SOUND, low])
    assert (found.gate, found.threshold, found.action) == ("kept_share", 0.2, "stop")
    assert str(found) == "gate kept_share tripped in iteration 1: 0.100 is below its threshold of 0.2"


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ([0.3, 0.5, 0.4], 1),
        ([0.5, 0.3], 0),
        ([0.3, 0.5, 0.5], 2),
        ([None, 0.1, None], 1),
        ([0.0], 0),
        ([None], None),
        ([], None),
    ],
)
def test_the_best_solver_is_that_of_the_highest_pass_at_1_and_of_equals_the_last(
    values: list[float | None], best: int | None
) -> None:
    assert best_iteration([_accurate(value) for value in values]) == best


def test_the_verdict_imports_neither_prefect_nor_torch() -> None:
    code = "import flows.gates.verdict, sys; print({'prefect', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
