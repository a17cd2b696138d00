"""What a verl training leaves: every rollout, every metric, checkpoints that another node goes on from."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from data.config import GrpoConfig
from infra.trainers.errors import CheckpointError, NonFiniteError
from infra.trainers.protocol import Rollout, ScoredRollout, TrainingJob
from infra.trainers.rollouts import rollout_seed
from infra.trainers.saving import Saving
from infra.trainers.verl.record import Record, advantages_within_groups
from infra.trainers.verl.trainer import write_prompts
from tests.support.folder_checkpoints import FolderCheckpoints

CONFIG = GrpoConfig(steps=4, prompts_per_step=2, group_size=3, max_tokens=8, checkpoint_every_steps=2)
REPORTED = {
    "actor/pg_loss": -0.5,
    "actor/kl_loss": 0.1,
    "actor/entropy": 1.0,
    "actor/pg_clipfrac": 0.0,
    "actor/grad_norm": 2.0,
    "timing_s/gen": 3.5,
}


@pytest.fixture
def job(tmp_path: Path) -> TrainingJob:
    return TrainingJob("solver", tmp_path / "model", ["a", "b", "c"], CONFIG, 7, tmp_path / "out")


def _samples(step: int) -> list[dict[str, object]]:
    return [
        {
            "step": step,
            "group": group,
            "sample": sample,
            "prompt_index": group,
            "prompt_tokens": 1,
            "token_ids": [group, sample],
            "text": f"{group}-{sample}",
            "finish_reason": "stop",
        }
        for group in range(2)
        for sample in range(3)
    ]


def _reward(rollouts: list[Rollout]) -> list[ScoredRollout]:
    return [ScoredRollout(float(r.completion.text == "1-2"), {"answer": r.completion.text}) for r in rollouts]


def _step(record: Record, folder: Path, step: int) -> list[tuple[int, dict[str, float]]]:
    record.score(_samples(step), _reward)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, "data": REPORTED}) + "\n")
    return list(record.read_metrics(folder / "metrics.jsonl"))


def _verl_saves(folder: Path, step: int) -> None:
    actor = folder / f"global_step_{step}" / "actor" / "huggingface"
    actor.mkdir(parents=True)
    (actor / "config.json").write_text("{}")
    (actor.parent / "optim_world_size_1_rank_0.pt").write_bytes(b"moments")
    (actor.parent / "model_world_size_1_rank_0.pt").write_bytes(b"weights of " + str(step).encode())
    (folder / f"global_step_{step}" / "data.pt").write_bytes(b"loader")


def _train(record: Record, folder: Path, steps: Iterable[int], places: FolderCheckpoints) -> None:
    """Record these steps, with a checkpoint of each that is due."""
    with Saving(places) as saving:
        for step in steps:
            _step(record, folder, step)
            _verl_saves(folder, step)
            record.save(saving, folder, step)


def test_rollouts_are_scored_in_the_same_order_whatever_order_they_come_in(job: TrainingJob) -> None:
    seen = []

    def reward(rollouts: list[Rollout]) -> list[ScoredRollout]:
        seen.append([rollout.completion.text for rollout in rollouts])
        return _reward(rollouts)

    samples = _samples(1)
    shuffled = random.Random(0).sample(samples, len(samples))
    answer = Record(job, 1).score(shuffled, reward)
    assert seen == [["0-0", "0-1", "0-2", "1-0", "1-1", "1-2"]]
    assert [sample["text"] for sample, value in zip(shuffled, answer, strict=True) if value] == ["1-2"]


def test_every_rollout_and_every_metric_lands_in_the_tables(job: TrainingJob, tmp_path: Path) -> None:
    record = Record(job, 1)
    reported = [pair for step in (1, 2) for pair in _step(record, tmp_path, step)]
    assert [step for step, _ in reported] == [1, 2]
    rollouts = record.tables()["rollouts"].to_pylist()
    assert len(rollouts) == 12
    assert rollouts[5]["seed"] == rollout_seed(7, 1, 1)
    assert rollouts[5]["advantage"] == pytest.approx(2 / 3 / (3**-0.5 + 1e-6))
    metrics = record.tables()["metrics"].to_pylist()
    assert metrics[1]["gradient_norm"] == 2.0
    assert metrics[1]["reward_mean"] == pytest.approx(1 / 6)
    assert record.tables()["engine_metrics"].to_pylist()[0] == {
        "step": 1,
        "name": "timing_s/gen",
        "value": 3.5,
    }


def test_a_half_written_line_of_metrics_is_left_for_the_next_look(job: TrainingJob, tmp_path: Path) -> None:
    record = Record(job, 1)
    record.score(_samples(1), _reward)
    file = tmp_path / "metrics.jsonl"
    line = json.dumps({"step": 1, "data": REPORTED}) + "\n"
    file.write_text(line[:20])
    assert list(record.read_metrics(file)) == []
    file.write_text(line)
    assert [step for step, _ in record.read_metrics(file)] == [1]


def test_a_training_goes_on_from_its_newest_checkpoint_elsewhere(job: TrainingJob, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    places = FolderCheckpoints(tmp_path / "store")
    record = Record(job, 1)
    _train(record, here, (1, 2, 3), places)
    assert not list(here.glob(".packed-*"))
    assert [path.name for path in places.root.iterdir()] == ["2"]

    again = Record(job, 1)
    assert again.resume(places, there) == 2
    assert (there / "latest_checkpointed_iteration.txt").read_text() == "2"
    saved = sorted(path.relative_to(there) for path in there.rglob("*") if path.is_file())
    assert Path("global_step_2/actor/huggingface/config.json") in saved
    assert (there / "global_step_2/actor/model_world_size_1_rank_0.pt").read_bytes() == b"weights of 2"
    for step in (3, 4):
        _step(again, there, step)
    again.check_complete()
    assert again.tables()["rollouts"]["step"].to_pylist() == [s for s in (1, 2, 3, 4) for _ in range(6)]


def test_of_the_last_step_the_weights_are_saved_so_that_only_their_merging_is_done_again(
    job: TrainingJob, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    places = FolderCheckpoints(tmp_path / "store")
    record = Record(job, 1)
    _train(record, here, range(1, job.config.steps + 1), places)
    again = Record(job, 1)
    assert again.resume(places, there) == job.config.steps
    again.check_complete()
    names = {path.name for path in there.rglob("*.pt")}
    assert names == {"model_world_size_1_rank_0.pt", "data.pt"}


def test_the_training_goes_on_while_a_checkpoint_is_saved_and_hears_of_one_that_was_not(
    job: TrainingJob, tmp_path: Path
) -> None:
    may_end, saved = threading.Event(), []

    class Slow(FolderCheckpoints):
        def save(self, step: int, folder: Path) -> None:
            may_end.wait()
            if step == 2:
                raise OSError("the disk is full")
            saved.append(step)

    def train(fails: bool) -> None:
        with Saving(Slow(tmp_path)) as saving:
            for step in (1, 2):
                (tmp_path / str(step)).mkdir()
            saving.save(1, tmp_path / "1")
            assert not saved
            may_end.set()
            saving.save(2, tmp_path / "2")
            assert saved == [1]
            if fails:
                raise ValueError("its own failure")

    with pytest.raises(OSError, match="the disk is full"):
        train(fails=False)
    assert not list(tmp_path.iterdir())
    saved.clear()
    may_end.clear()
    with pytest.raises(ValueError, match="its own failure"):
        train(fails=True)


def test_a_checkpoint_of_another_job_or_another_number_of_gpus_is_refused(
    job: TrainingJob, tmp_path: Path
) -> None:
    places = FolderCheckpoints(tmp_path / "store")
    record = Record(job, 8)
    for step in (1, 2):
        _step(record, tmp_path, step)
    _verl_saves(tmp_path, 2)
    with Saving(places) as saving:
        record.save(saving, tmp_path, 2)
    with pytest.raises(CheckpointError, match=r"begun on 8 GPUs .* not with 4"):
        Record(job, 4).resume(places, tmp_path / "elsewhere")
    other = TrainingJob("solver", job.model_dir, ["a"], CONFIG, 8, job.output_dir)
    with pytest.raises(CheckpointError, match="another config, seed or prompts"):
        Record(other, 8).resume(places, tmp_path / "elsewhere")


@pytest.mark.parametrize(
    "change",
    [
        {"paths": {"verl-00000": "../../elsewhere"}},
        {"paths": {"verl-00000": "/tmp/elsewhere"}},
        {"paths": {"verl-00000": "actor//x"}},
        {"paths": {"../state.json": "x"}},
        {"paths": {"_checkpoint.json": "x"}},
        {"paths": {"verl-00000": "a\0b"}},
        {"paths": ["verl-00000"]},
        {"step": 10**9},
        {"step": -1},
        {"step": "2"},
        {"workers": None},
        {"format": None},
        {"fingerprint": None},
    ],
    ids=str,
)
def test_a_doctored_state_is_refused_in_one_line_and_nothing_is_written_outside(
    change: dict[str, object], job: TrainingJob, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "a" / "b" / "there"
    here.mkdir()
    there.mkdir(parents=True)
    places = FolderCheckpoints(tmp_path / "store")
    record = Record(job, 1)
    for step in (1, 2):
        _step(record, here, step)
    _verl_saves(here, 2)
    with Saving(places) as saving:
        record.save(saving, here, 2)
    file = places.root / "2" / "state.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    before = {path for path in tmp_path.rglob("*") if there not in path.parents}
    with pytest.raises(CheckpointError) as raised:
        Record(job, 1).resume(places, there)
    assert "\n" not in str(raised.value)
    assert {path for path in tmp_path.rglob("*") if there not in path.parents} == before


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 100_000, b"{" + b" " * (1 << 25) + b"}"])
def test_a_state_that_is_none_is_refused_in_one_line(
    content: bytes, job: TrainingJob, tmp_path: Path
) -> None:
    (tmp_path / "store" / "2").mkdir(parents=True)
    (tmp_path / "store" / "2" / "state.json").write_bytes(content)
    with pytest.raises(CheckpointError, match="the checkpoint cannot be read") as raised:
        Record(job, 1).resume(FolderCheckpoints(tmp_path / "store"), tmp_path)
    assert "\n" not in str(raised.value)


def test_a_loss_that_is_not_finite_ends_the_training(job: TrainingJob, tmp_path: Path) -> None:
    record = Record(job, 1)
    record.score(_samples(1), _reward)
    file = tmp_path / "metrics.jsonl"
    file.write_text(json.dumps({"step": 1, "data": {**REPORTED, "actor/grad_norm": float("nan")}}) + "\n")
    with pytest.raises(NonFiniteError, match="solver, step 1"):
        list(record.read_metrics(file))


def test_the_prompts_of_every_step_say_their_batch_its_size_and_their_seed(
    job: TrainingJob, tmp_path: Path
) -> None:
    write_prompts(job, tmp_path / "prompts.parquet")
    rows = pq.read_table(tmp_path / "prompts.parquet")["extra_info"].to_pylist()
    assert len(rows) == 4 * 2
    assert [row["batch"] for row in rows] == [f"step-{step}" for step in (1, 2, 3, 4) for _ in range(2)]
    assert {row["size"] for row in rows} == {6}
    assert rows[3]["seed"] == rollout_seed(7, 2, 1)
    assert {row["text"] for row in rows} == {"a", "b", "c"}


def test_advantages_are_those_of_the_local_trainer() -> None:
    torch = pytest.importorskip("torch")
    from infra.trainers.grpo import group_advantages

    rewards = [0.0, 1.0, 0.25, 0.5, 0.5, 0.5]
    groups = torch.tensor([0, 0, 0, 1, 1, 1])
    for divide in (True, False):
        expected = group_advantages(torch.tensor(rewards, dtype=torch.float64), groups, divide).tolist()
        assert advantages_within_groups(rewards, 3, divide) == pytest.approx(expected, abs=1e-12)
