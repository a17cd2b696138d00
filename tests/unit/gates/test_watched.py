"""A run's gates as an iteration asks them: from the store alone, with a run of made-up figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from data.config import RunConfig
from flows.gates.watched import watched
from infra.store.store import Store
from tasks.stage.errors import GateStopped
from tasks.stage.solvers import ChosenSolver, choose_solver, chosen_solvers
from tasks.stage.task import Run, after_stage
from tests.unit.report.conftest import make_run

ALWAYS = "gates.kept_share={threshold: 1.0, action: %s}"
"""No made-up run keeps all its candidates."""
OTHERS_OFF = [
    f"gates.{name}.action=off"
    for name in ("valid_share", "unique_share", "label_accuracy", "truncated_share", "accuracy_drop")
]


def _made(folder: Path, action: str, stop_before: tuple[int, str] | None, iterations: int = 2) -> RunConfig:
    store = Store(str(folder / "store"))
    overrides = [ALWAYS % action, *OTHERS_OFF, f"store={store.uri}"]
    return make_run(store, iterations=iterations, overrides=overrides, stop_before=stop_before)


def _ask(config: RunConfig, iteration: int, stages: int = 1) -> None:
    with watched(Run(config=config, iteration=iteration)):
        for _ in range(stages):
            then = after_stage.get()
            assert then is not None
            then()


def test_a_gate_that_warns_says_so_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = _made(tmp_path, "warn", (1, "train_solver"))
    line = "gate kept_share tripped in iteration 1"
    _ask(config, 1, stages=0)
    once = caplog.text.count(line)
    assert once > 0
    caplog.clear()
    _ask(config, 1, stages=3)
    assert caplog.text.count(line) == once


def test_a_gate_stops_an_iteration_before_its_next_stage_and_leaves_a_report(tmp_path: Path) -> None:
    config = _made(tmp_path, "stop", (1, "train_solver"))
    reached = False
    with (
        pytest.raises(GateStopped, match="stopped: gate kept_share tripped in iteration 1"),
        watched(Run(config=config, iteration=1)),
    ):
        reached = True
    assert not reached
    assert (tmp_path / "store/runs/made/report.html").exists()
    assert after_stage.get() is None


def test_what_an_iteration_ends_with_stops_the_next_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = _made(tmp_path, "stop", (2, "train_challenger"))
    _ask(config, 1)
    assert "the run stops before the next iteration" in caplog.text
    with pytest.raises(GateStopped, match=r"in iteration 1: .*--set gates\.kept_share\.action=off$"):
        _ask(config, 2)


def test_a_finished_run_is_stopped_by_nothing(tmp_path: Path) -> None:
    config = _made(tmp_path, "stop", None)
    _ask(config, 1)
    _ask(config, 2)


def test_a_gate_that_is_off_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _ask(_made(tmp_path, "off", (2, "train_challenger")), 2)
    assert "tripped" not in caplog.text


def test_the_best_solver_is_chosen_once_for_the_next_iteration(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # The made-up pass@1 of all iterations is the same, so the last Solver is the best.
    config = _made(tmp_path, "best_solver", (3, "train_challenger"), iterations=3)
    store = Store(config.store)
    _ask(config, 3)
    assert "but the last Solver is the best so far, and stays" in caplog.text
    assert chosen_solvers(store, "made") == {}
    chosen = choose_solver(store, "made", 3, ChosenSolver(solver_of=1, why="a test"))
    _ask(config.model_copy(update={"gates": type(config.gates)()}), 3)
    assert "iteration 3 begins with the Solver of iteration 1: a test" in caplog.text
    assert chosen_solvers(store, "made") == {3: chosen}


def test_the_better_solver_is_written_down_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = iter([0.4, 0.9, 0.5])
    config = _made_with(tmp_path, measured, monkeypatch)
    _ask(config, 3)
    (number, chosen), *others = chosen_solvers(Store(config.store), "made").items()
    assert not others
    assert (number, chosen.solver_of) == (3, 1)
    assert chosen.why.startswith("gate kept_share tripped in iteration 2: ")
    assert chosen.why.endswith("no pass@1 since is as high as its 0.900")


def test_an_iteration_that_has_begun_keeps_its_solver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = iter([0.4, 0.9, 0.5])
    config = _made_with(tmp_path, measured, monkeypatch, stop_before=(3, "generate_questions"))
    _ask(config, 3)
    assert chosen_solvers(Store(config.store), "made") == {}


def _made_with(
    folder: Path,
    measured: Iterator[float],
    monkeypatch: pytest.MonkeyPatch,
    stop_before: tuple[int, str] = (3, "train_challenger"),
) -> RunConfig:
    """A run whose evaluations have these pass@1, one after another."""
    from tests.unit.report import conftest

    outcome = conftest._outcome

    def with_scores(stage: str, *arguments: object) -> object:
        kind, tables, figures = outcome(stage, *arguments)  # type: ignore[arg-type]
        if stage == "evaluate":
            figures = figures | {"pass@1": next(measured)}
        return kind, tables, figures

    monkeypatch.setattr(conftest, "_outcome", with_scores)
    return _made(folder, "best_solver", stop_before, iterations=3)
