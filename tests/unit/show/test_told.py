"""The lines in which a run's log tells its story."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from data.resolve import resolve
from flows.live.told import end_line, start_line, tell_run
from infra.artifacts.artifact import ArtifactRef
from infra.run_log import follow_runs
from tasks.stage.graph import stage_names
from tasks.stage.walk import Step

REF = ArtifactRef(uri="memory://x", digest="0" * 64, kind="model", bytes=1, rows=None)


def _steps(iteration: int, finished: int) -> list[Step]:
    return [
        Step(iteration, name, None, REF if number < finished else None)
        for number, name in enumerate(stage_names(iteration))
    ]


@pytest.mark.parametrize(
    ("iteration", "steps", "line"),
    [
        (2, _steps(2, 2), "iteration 2: 2 of 7 stages are finished, goes on at sample_answers"),
        (2, _steps(2, 7), "iteration 2: all 7 stages are finished: nothing to do"),
        (2, _steps(2, 0), "iteration 2: begins with train_challenger"),
        (
            1,
            [*_steps(0, 0), *_steps(1, 0)],
            "iteration 1: begins with the base model, at prepare_base_model",
        ),
        (1, [*_steps(0, 3), *_steps(1, 0)], "iteration 1: begins with train_challenger"),
    ],
)
def test_an_iteration_says_where_it_goes_on(iteration: int, steps: list[Step], line: str) -> None:
    assert start_line(iteration, steps) == line


def _row(iteration: int, accuracy: float | None, **more: Any) -> dict[str, Any]:
    return {"iteration": iteration, "kept_share": None, "pass@1": accuracy, "maj@4": accuracy} | {
        "greedy": None,
        "seconds": 130.0,
        **more,
    }


def test_an_iteration_ends_with_its_figures_and_those_before() -> None:
    assert end_line([_row(1, 0.4), _row(2, 0.5, kept_share=0.6)]) == (
        "iteration 2 is finished, after 2 min 10 s of work: pass@1 0.500 (before: 0.400), "
        "maj@4 0.500 (before: 0.400), kept share 0.600"
    )
    assert end_line([_row(1, None)]) == "iteration 1 is finished, after 2 min 10 s of work"


@pytest.mark.parametrize(
    ("iterations", "unfinished", "line"),
    [
        (3, [], "all 3 iterations are finished: nothing to do"),
        (1, [], "the one iteration is finished: nothing to do"),
        (3, _steps(3, 0), "2 of 3 iterations are finished"),
    ],
)
def test_a_run_says_what_is_finished_of_it(
    caplog: pytest.LogCaptureFixture, iterations: int, unfinished: list[Step], line: str
) -> None:
    follow_runs()
    with caplog.at_level(logging.INFO):
        tell_run(resolve("a", "tiny", {}, None, iterations), unfinished)
    assert set(caplog.messages) == {line}
