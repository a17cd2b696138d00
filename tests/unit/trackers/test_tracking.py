"""What trackers are told of a run: what the store holds first, then what happens."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from data.backends import TensorboardConfig
from data.config import RunConfig
from data.resolve import resolve
from data.schemas import METRICS, ROLLOUTS
from infra.artifacts.artifact import Location
from infra.artifacts.runs import freeze_run
from infra.store.store import Store
from infra.store.tables import table_of
from infra.trainers.checkpoint import write_state
from infra.trainers.protocol import ScoredRollout, TrainingJob
from infra.trainers.verl.record import Record
from tasks.publish.tracking import track_steps, tracked
from tasks.stage.work import Work
from tests.support.small_run import small_overrides
from tests.support.tracked import READERS, Held

pytest.importorskip("tensorboard", reason="pip install 'rzero[tensorboard]'")
pytestmark = pytest.mark.slow  # a tracker's library takes seconds to import, in a process of its own

COLUMNS = [name for name in METRICS.names if name != "step"]


def metrics(step: int) -> dict[str, float]:
    """A row of the table `metrics`."""
    return {"step": step} | {name: step + index / 8 for index, name in enumerate(COLUMNS)}


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    overrides = {**small_overrides(), "trackers": "[tensorboard]"}
    found = resolve("first", overrides=overrides, store=str(tmp_path / "store"))
    freeze_run(Store(found.store), found)
    return found


def work_of(config: RunConfig, iteration: int) -> Work:
    location = Location(run="first", iteration=iteration, stage="train_solver", key="0" * 64)
    return Work(config, iteration, Store(config.store), location)


def job_of(work: Work, folder: Path) -> TrainingJob:
    return TrainingJob("solver", folder, ["1+1="], work.whole_config.solver, 0, folder)


def save_checkpoint(work: Work, folder: Path, step: int, rows: pa.Table | None = None) -> None:
    """What every trainer saves after a step, but for its weights."""
    folder.mkdir()
    if rows is None:
        rows = table_of([metrics(number) for number in range(1, step + 1)], METRICS)
    tables = {"metrics": rows, "rollouts": ROLLOUTS.empty_table()}
    write_state(folder, job_of(work, folder), step, tables)
    work.checkpoints().save(step, folder)


def verl_steps(record: Record, folder: Path, *steps: int) -> Iterator[tuple[int, dict[str, float]]]:
    """Steps as a training with verl gets them: its rollouts scored, its own metrics read from its log."""
    for step in steps:
        rollouts = [
            {"step": step, "group": group, "sample": sample, "prompt_index": 0, "prompt_tokens": 4}
            | {"token_ids": [group, sample], "text": "2", "finish_reason": "stop"}
            for group in range(8)
            for sample in range(4)
        ]
        record.score(rollouts, lambda batch, at=step: [ScoredRollout(float(at)) for _ in batch])
        names = ("pg_loss", "kl_loss", "entropy", "pg_clipfrac", "grad_norm")
        with (folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, "data": {f"actor/{name}": 0.5 for name in names}}) + "\n")
        yield from record.read_metrics(folder / "metrics.jsonl")


def read(config: RunConfig) -> Held:
    return READERS["tensorboard"](Path(config.store) / "trackers", "first")


def test_steps_that_only_a_checkpoint_knows_of_are_told_before_the_steps_after_it(
    config: RunConfig, tmp_path: Path
) -> None:
    work = work_of(config, 2)
    save_checkpoint(work, tmp_path / "checkpoint", 2)
    with tracked(config, 1):
        track_steps(work)(3, metrics(3))
    found = read(config)
    # Iteration 1 had three steps.
    assert found.steps("train_solver") == [4, 5, 6]
    assert found.values["train_solver/reward_mean"] == [(4, 1.0), (5, 2.0), (6, 3.0)]
    assert {name.removeprefix("train_solver/") for name in found.values} == {"step", *COLUMNS}


def test_a_step_that_a_resumed_training_reports_again_is_told_once(config: RunConfig, tmp_path: Path) -> None:
    work = work_of(config, 1)
    with tracked(config, 1):
        track = track_steps(work)
        for step in (1, 2, 3):
            track(step, metrics(step))
    save_checkpoint(work, tmp_path / "checkpoint", 2)
    with tracked(config, 1):
        track_steps(work)(3, metrics(3))
    assert read(config).steps("train_solver") == [1, 2, 3]


def test_steps_of_verl_are_told_like_those_of_the_local_trainer(config: RunConfig, tmp_path: Path) -> None:
    work = work_of(config, 1)
    killed, resumed = tmp_path / "killed", tmp_path / "resumed"
    killed.mkdir()
    resumed.mkdir()
    record = Record(job_of(work, tmp_path), 1)
    with tracked(config, 1):
        track = track_steps(work)
        ((step, row),) = verl_steps(record, killed, 1)
        track(step, row)
    # Step 2 is saved with the checkpoint, but the process dies before it is told.
    list(verl_steps(record, killed, 2))
    save_checkpoint(work, tmp_path / "checkpoint", 2, record.tables()["metrics"])
    with tracked(config, 1):
        track = track_steps(work)
        for step, row in verl_steps(Record(job_of(work, tmp_path), 1), resumed, 3):
            track(step, row)
    found = read(config)
    assert found.steps("train_solver") == [1, 2, 3]
    assert found.values["train_solver/reward_mean"] == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert found.values["train_solver/gradient_norm"] == [(1, 0.5), (2, 0.5), (3, 0.5)]


def test_a_tracker_that_has_failed_is_one_warning_however_many_iterations_follow(
    config: RunConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").write_text("")
    broken = config.model_copy(update={"trackers": (TensorboardConfig(folder=str(tmp_path / "taken")),)})
    logging.getLogger("rzero").addHandler(caplog.handler)
    try:
        for iteration in (1, 2):
            with tracked(broken, iteration):
                track_steps(work_of(broken, iteration))(1, metrics(1))
    finally:
        logging.getLogger("rzero").removeHandler(caplog.handler)
    # One record may reach the handler twice: by its own logger, and by the root's where that is its parent.
    (warning,) = {id(record): record.getMessage() for record in caplog.records}.values()
    assert warning.startswith("tracker tensorboard: FileExistsError: ")


def test_a_run_without_trackers_writes_nothing_for_them(config: RunConfig) -> None:
    without = config.model_copy(update={"trackers": ()})
    before = sorted(Path(config.store).rglob("*"))
    with tracked(without, 1) as tell:
        track_steps(work_of(without, 1))(1, metrics(1))
        tell()
    assert sorted(Path(config.store).rglob("*")) == before
