"""kill -9 in the middle of a run: the same command goes on, and only the rest runs."""

from __future__ import annotations

import random
from pathlib import Path

from tests.faults.kills import Moment, run_through

SEED = 5
MOMENTS = {
    "run.json": (0.5, 5.0),
    "_work/iteration=0/sample_evaluation/*/parts/*.json": (0.0, 0.3),
    "_work/iteration=1/train_challenger/*/checkpoints/*/_checkpoint.json": (0.0, 0.3),
    "_work/iteration=1/generate_questions/*/parts/*.json": (0.0, 0.3),
    "iteration=1/score_and_filter/*/_manifest.json": (0.0, 0.3),
}
"""Kill after such a file is there, so many seconds later."""


def test_a_run_that_is_killed_again_and_again_ends_as_if_it_never_was(
    small_store: Path, tmp_path: Path
) -> None:
    """Soon after the start, after a checkpoint, between shards, after a stage."""
    dice = random.Random(SEED)
    moments = [Moment(dice.uniform(*seconds), pattern) for pattern, seconds in MOMENTS.items()]
    attempts = run_through(tmp_path / "store", "killed", iter(moments), small_store)
    assert [attempt.was_killed for attempt in attempts] == [True] * len(moments) + [False]
