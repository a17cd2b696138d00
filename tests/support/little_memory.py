"""A training in a process of its own that may have so much memory: `python -m tests.support.little_memory`.

Arguments: the store, the model, the iteration, MiB beyond what it has when it first scores rollouts, and the
step after which it dies at once, without a word (0: never). Prints the micro-batch sizes that it tries.
"""

from __future__ import annotations

import functools
import os
import resource
import string
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from data.resolve import resolve
from infra.artifacts.artifact import ArtifactRef
from infra.scratch import ScratchFolder
from infra.store.store import Store
from infra.trainers import open_trainer
from infra.trainers.protocol import Rollout, ScoredRollout, TrainingJob
from tasks.stage.graph import locate
from tasks.stage.retries import with_smaller_batches
from tasks.stage.training import add_training, step_reporter
from tasks.stage.work import Work

REF = ArtifactRef(uri="made/before", digest="0" * 64, kind="model", bytes=1)
LARGE = 64
CONFIG = resolve(
    "a",
    overrides=[
        f"solver.micro_batch_size={LARGE}",
        "solver.prompts_per_step=32",
        "solver.group_size=2",
        "solver.steps=2",
        "solver.checkpoint_every_steps=1",
        "solver.max_tokens=4",
        "trainer.device=cpu",
        # Each thread sets aside addresses for its memory, more than the limits of these tests leave.
        "trainer.threads=1",
    ],
)


def work_of(store: Path, iteration: int) -> Work:
    """The work of an iteration's train_solver."""
    location = locate(CONFIG, iteration, "train_solver", {"solver": REF, "curriculum": REF})
    return Work(CONFIG, iteration, Store(str(store)), location)


def main(store: Path, model: Path, iteration: int, mebibytes: int, dies_after: int) -> None:
    """Train with that little memory, and commit the model."""
    work = work_of(store, iteration)

    def reward(rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
        _limit_once(mebibytes)
        return [ScoredRollout(float(len(one.completion.text))) for one in rollouts]

    def body(work: Work) -> None:
        print(work.config.solver.micro_batch_size, flush=True)
        report = step_reporter(work, 2)

        def report_and_die(step: int, metrics: Mapping[str, float]) -> None:
            report(step, metrics)
            if step == dies_after:
                os._exit(0)

        with ScratchFolder("test") as folder:
            # All different: a prompt that rollouts share is in memory once.
            prompts = [letter * 150 for letter in string.ascii_letters[:32]]
            result = open_trainer(work.config.trainer).train(
                TrainingJob("solver", model, prompts, work.config.solver, work.seed, folder),
                reward,
                work.checkpoints(),
                report_and_die,
            )
            add_training(work, result, "solver")

    with_smaller_batches(body)(work)
    work.commit({"solver": REF, "curriculum": REF})


@functools.cache
def _limit_once(mebibytes: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + mebibytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
