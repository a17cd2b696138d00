"""Gates watch real runs: one stops a collapsed run, which goes on without it; one goes back to a Solver."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from flows.evolve import evolve
from infra.store.store import Store
from tasks.stage.errors import GateStopped
from tasks.stage.solvers import chosen_solvers
from tests.support.manifests import manifests_of
from tests.support.small_run import small_overrides


@pytest.fixture
def store(small_store: Path, tmp_path: Path) -> Path:
    """A copy of the small run's store: what has the same key there need not be made again."""
    return Path(shutil.copytree(small_store, tmp_path / "store"))


def test_a_gate_stops_a_collapsed_run_before_its_solver_trains_and_without_it_the_run_goes_on(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Near temperature 0 the Challenger repeats itself.
    overrides = small_overrides() | {
        "questions.temperature": "0.05",
        "gates.unique_share.action": "stop",
        "gates.valid_share.action": "off",
        "filter.delta": "0.5",
    }
    with pytest.raises(GateStopped) as stopped:
        evolve(run="collapsed", preset="tiny", iterations=1, store=str(store), overrides=overrides)
    before = manifests_of(store, "collapsed")
    share = before["iteration=1/score_and_filter"].figures["unique_share"]
    assert share < 0.5
    assert f"gate unique_share tripped in iteration 1: {share:.3f} is below its threshold of 0.5" in str(
        stopped.value
    )
    again = f"rzero run --run collapsed --store {store} --set gates.unique_share.action=off"
    assert str(stopped.value).endswith(again)
    assert "iteration=1/train_solver" not in before

    with pytest.raises(GateStopped):
        evolve(run="collapsed", store=str(store))
    assert manifests_of(store, "collapsed") == before

    caplog.clear()
    with caplog.at_level(logging.WARNING):
        evolve(run="collapsed", store=str(store), overrides={"gates.unique_share.action": "off"})
    after = manifests_of(store, "collapsed")
    assert "iteration=1/evaluate" in after
    assert {name: after[name] for name in before} == before
    assert "gate unique_share" not in caplog.text


def test_a_ruined_solver_is_left_for_the_best_one_and_so_it_stays(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    overrides = small_overrides() | {
        "solver.learning_rate": "1.0",
        "gates.accuracy_drop.action": "best_solver",
    }
    with caplog.at_level(logging.WARNING):
        evolve(run="ruined", preset="tiny", iterations=2, store=str(store), overrides=overrides)
    made = manifests_of(store, "ruined")
    scores = [made[f"iteration={number}/evaluate"].figures["pass@1"] for number in (0, 1)]
    assert scores[1] < scores[0] - 0.05
    base = made["iteration=0/prepare_base_model"].digest
    assert made["iteration=1/train_solver"].digest != base
    for stage in ("train_challenger", "sample_answers", "train_solver"):
        assert made[f"iteration=2/{stage}"].inputs["solver"].digest == base
    first = made["iteration=1/train_challenger"].digest
    assert made["iteration=2/train_challenger"].inputs["challenger"].digest == first
    assert "iteration 2 begins with the base model as Solver: gate accuracy_drop tripped" in caplog.text
    assert chosen_solvers(Store(str(store)), "ruined")[2].solver_of == 0

    evolve(run="ruined", store=str(store), overrides={"gates.accuracy_drop.action": "off"})
    assert manifests_of(store, "ruined") == made
