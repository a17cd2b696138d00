"""kill -9 of a run that is tracked: each tracker goes on in the same run, each step once and in order."""

from __future__ import annotations

import random
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.faults.kills import Moment, run_through
from tests.support.small_run import small_overrides
from tests.support.tracked import READERS

pytestmark = pytest.mark.slow  # five starts of a run

SEED = 7
MOMENTS = {
    "_work/iteration=1/train_challenger/*/checkpoints/*/_checkpoint.json": (0.0, 0.6),
    "iteration=1/train_challenger/*/_manifest.json": (0.0, 0.2),
    "iteration=1/score_and_filter/*/_manifest.json": (0.0, 0.3),
    "_work/iteration=1/train_solver/*/checkpoints/*/_checkpoint.json": (0.0, 0.6),
}
"""Kill after such a file is there, so many seconds later."""
STAGES = (
    *("train_challenger", "generate_questions", "sample_answers", "score_and_filter", "train_solver"),
    *("sample_evaluation", "evaluate"),
)


def test_the_trackers_of_a_run_that_is_killed_again_and_again_hold_each_step_once(
    small_store: Path, tmp_path: Path
) -> None:
    there = [backend for backend in READERS if find_spec(backend)]
    if not there:
        pytest.skip("no tracker is installed: pip install 'rzero[tensorboard]'")
    dice = random.Random(SEED)
    moments = [Moment(dice.uniform(*seconds), pattern) for pattern, seconds in MOMENTS.items()]
    more = [f"trackers=[{', '.join(there)}]"]
    attempts = run_through(tmp_path / "store", "killed", iter(moments), small_store, more)
    assert [attempt.was_killed for attempt in attempts] == [True] * len(moments) + [False]
    assert "warning: tracker" not in "".join(attempt.output for attempt in attempts)
    trained = small_overrides()
    for backend in there:
        held = READERS[backend](tmp_path / "store" / "trackers", "killed")
        for role in ("challenger", "solver"):
            assert held.steps(f"train_{role}") == [*range(1, int(trained[f"{role}.steps"]) + 1)], backend
        for stage in STAGES:
            of_base = stage in ("sample_evaluation", "evaluate")
            assert held.steps(f"iteration/{stage}") == ([0, 1] if of_base else [1]), (backend, stage)
