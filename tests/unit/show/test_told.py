"""The lines in which a run's log tells its story."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from data.resolve import resolve
from flows.live.told import beginning, end_line, kept_of, start_line, tell_run
from infra.artifacts.artifact import ArtifactRef, Location
from infra.artifacts.checkpoints import StoreCheckpoints
from infra.run_log import follow_runs
from infra.store.store import Store
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
        (
            1,
            [*_steps(0, 1), *_steps(1, 0)],
            "iteration 1: goes on with the base model, at sample_evaluation",
        ),
    ],
)
def test_an_iteration_says_where_it_goes_on(iteration: int, steps: list[Step], line: str) -> None:
    assert start_line(iteration, steps) == line


@pytest.mark.parametrize(
    ("iteration", "steps", "line"),
    [
        (2, _steps(2, 2), "iteration 2: 2 of 7 stages are finished, goes on at sample_answers (1 step kept)"),
        (2, _steps(2, 0), "iteration 2: goes on with train_challenger (1 step kept)"),
        (
            1,
            [*_steps(0, 0), *_steps(1, 0)],
            "iteration 1: goes on with the base model, at prepare_base_model (1 step kept)",
        ),
    ],
)
def test_an_iteration_says_what_is_there_of_the_stage_that_it_goes_on_with(
    iteration: int, steps: list[Step], line: str
) -> None:
    assert start_line(iteration, steps, " (1 step kept)") == line


def test_a_run_says_with_what_it_begins_or_goes_on_and_what_is_kept_of_that(tmp_path: Path) -> None:
    config = resolve("a", "tiny", {}, str(tmp_path), 2)
    location = Location(run="a", iteration=2, stage="train_challenger", key="k" * 64)
    training = [Step(2, "train_challenger", location, None)]
    assert beginning(config, _steps(0, 0)) == "begins with prepare_base_model of iteration 0"
    assert beginning(config, training) == "goes on with train_challenger of iteration 2"
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "state").write_bytes(b"x")
    StoreCheckpoints(Store(config.store), location).save(5, tmp_path / "checkpoint")
    assert beginning(config, training) == "goes on with train_challenger of iteration 2 (5 steps kept)"
    assert kept_of(config, _steps(2, 7)) == ""


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
        (1, [], "its one iteration is finished: nothing to do"),
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
