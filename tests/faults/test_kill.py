"""kill -9 in the middle of a run: the same command goes on, and only the rest runs."""

from __future__ import annotations

import random
from pathlib import Path

from tests.faults.kills import Moment, run_through

SEED = 5
STAGES = [
    "evaluate: shard 1/",
    "train_challenger: step 2/3",
    "generate_questions: 25/60",
    "score_and_filter: kept",
]


def test_a_run_that_is_killed_again_and_again_ends_as_if_it_never_was(
    small_store: Path, tmp_path: Path
) -> None:
    """After a checkpoint, between shards, after a stage; each time a little later, as the seed has it."""
    dice = random.Random(SEED)
    moments = [Moment(dice.uniform(0.0, 0.3), line) for line in STAGES]
    moments.insert(0, Moment(dice.uniform(0.5, 5.0), "rzero: run killed"))
    attempts = run_through(tmp_path / "store", "killed", iter(moments), small_store)
    assert [attempt.was_killed for attempt in attempts] == [True] * len(moments) + [False]
