"""What a training dwells on: clips of a rollout's own, weighed advantages, groups without signal left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from infra.store.tables import parquet_bytes
from infra.trainers.emphasis import Emphasis
from infra.trainers.grpo import policy_loss
from infra.trainers.protocol import Rollout, ScoredRollout, TrainingJob, TrainingResult
from tests.support.folder_checkpoints import FolderCheckpoints

Train = Callable[..., TrainingResult]
MakeJob = Callable[..., TrainingJob]
TWO_UPDATES = {"steps": 3, "updates_per_step": 2, "learning_rate": 3e-2}


def _contents(result: TrainingResult) -> dict[str, bytes]:
    files = {path.name: path.read_bytes() for path in result.model_dir.iterdir()}
    return files | {"rollouts": parquet_bytes(result.rollouts), "metrics": parquet_bytes(result.metrics)}


def _train(train: Train, job: TrainingJob, emphasis: Emphasis, **more: Any) -> TrainingResult:
    places = FolderCheckpoints(job.output_dir.parent / f"checkpoints of {job.output_dir.name}")
    return train(replace(job, emphasis=emphasis), places=places, **more)


def test_the_loss_is_clipped_at_each_tokens_own_bound() -> None:
    ratios = torch.tensor([1.5, 1.5, 0.5, 0.5, 1.1])
    advantages = torch.tensor([1.0, 1.0, -1.0, 1.0, 2.0])
    clips = torch.tensor([0.2, 0.6, 0.2, 0.2, 0.05])
    found = policy_loss(ratios.log(), torch.zeros(5), advantages, 0.2, clips, 3.0)
    # 1.5 is held at 1.2, and not at 1.6; 0.5 is held at 0.8 where it got better by it; 1.1 is held at 1.05.
    torch.testing.assert_close(found.loss, torch.tensor([-1.2, -1.5, 0.8, -0.5, -2.1]))
    assert found.clipped.tolist() == [True, False, True, False, True]


def test_bounds_that_are_all_the_configurations_give_its_loss_and_its_gradient_to_the_last_bit() -> None:
    torch.manual_seed(0)
    old, advantages = torch.randn(200), torch.randn(200)
    results = []
    for clip in (0.3, torch.full((200,), 0.3)):
        now = (old + 0.5 * torch.randn(200, generator=torch.Generator().manual_seed(1))).requires_grad_()
        found = policy_loss(now, old, advantages, 0.2, clip, 3.0)
        found.loss.sum().backward()
        results.append((found.loss.tolist(), found.clipped.tolist(), now.grad.tolist()))  # type: ignore[union-attr]
    assert results[0] == results[1]


def test_weights_of_1_and_the_configurations_clip_give_the_bytes_of_a_training_without(
    train: Train, make_job: MakeJob
) -> None:
    neutral = Emphasis(weights=[1.0] * 3, clip_highs=[0.3] * 3)
    plain = _train(train, make_job("plain", **TWO_UPDATES), Emphasis())
    assert _contents(_train(train, make_job("neutral", **TWO_UPDATES), neutral)) == _contents(plain)
    assert sum(plain.metrics.column("clip_share").to_pylist()) > 0


def test_a_weight_scales_the_advantages_of_its_prompt_alone(train: Train, make_job: MakeJob) -> None:
    plain = _train(train, make_job("plain", steps=1), Emphasis()).rollouts.to_pylist()
    found = _train(
        train, make_job("weighed", steps=1), Emphasis(weights=[1.0, 0.25, 0.0])
    ).rollouts.to_pylist()
    factors = [[1.0, 0.25, 0.0][row["prompt_index"]] for row in plain]
    assert [row["advantage"] for row in found] == [
        row["advantage"] * factor for row, factor in zip(plain, factors, strict=True)
    ]
    assert [row["completion"] for row in found] == [row["completion"] for row in plain]


def test_a_clip_of_its_own_decides_which_tokens_are_clipped(train: Train, make_job: MakeJob) -> None:
    shares = [
        _train(train, make_job(str(clip), **TWO_UPDATES), Emphasis(clip_highs=[clip] * 3))
        .metrics.column("clip_share")
        .to_pylist()[0]
        for clip in (0.0, 0.3, 9.0)
    ]
    assert shares[0] > shares[1] > shares[2]


def _flat_in(groups: set[int]) -> Callable[[Sequence[Rollout]], list[ScoredRollout]]:
    def reward(rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
        return [
            ScoredRollout(0.5 if r.group in groups else r.completion.text.split().count("b") / 6 + n / 100)
            for n, r in enumerate(rollouts)
        ]

    return reward


def test_where_no_group_is_flat_dropping_them_changes_no_byte(train: Train, make_job: MakeJob) -> None:
    results = [
        _train(train, make_job(name, **TWO_UPDATES), Emphasis(drop_flat_groups=drop), reward=_flat_in(set()))
        for name, drop in (("kept", False), ("dropped", True))
    ]
    assert _contents(results[0]) == _contents(results[1])


def test_the_loss_is_the_mean_over_the_tokens_of_groups_with_signal(train: Train, make_job: MakeJob) -> None:
    """By hand: at a ratio of 1 the loss of a token is minus its advantage; a flat group has none."""
    for name, drop in (("kept", False), ("dropped", True)):
        emphasis, reward = Emphasis(drop_flat_groups=drop), _flat_in({0, 2})
        found = _train(train, make_job(name, steps=1, kl_coefficient=0.0), emphasis, reward=reward)
        rows = [row for row in found.rollouts.to_pylist() if not drop or row["group"] in (1, 3)]
        assert len(rows) == (8 if drop else 16)
        loss = -sum(row["advantage"] * row["tokens"] for row in rows) / sum(row["tokens"] for row in rows)
        assert found.metrics.column("policy_loss").to_pylist() == pytest.approx([loss], abs=1e-6)
        assert found.metrics.column("groups_without_signal").to_pylist() == [0.5]
        assert found.rollouts.num_rows == 16


def test_a_step_without_any_signal_changes_no_weight_and_still_says_how_far_the_policy_is(
    train: Train, make_job: MakeJob, model_dir: Path
) -> None:
    from safetensors.torch import load_file

    reward = _flat_in({0, 1, 2, 3})
    found = _train(train, make_job(steps=2), Emphasis(drop_flat_groups=True), reward=reward)
    before = load_file(model_dir / "model.safetensors")
    after = load_file(found.model_dir / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    for row in found.metrics.to_pylist():
        assert (row["policy_loss"], row["gradient_norm"], row["clip_share"]) == (0.0, 0.0, 0.0)
        assert (row["groups_without_signal"], row["kl"]) == (1.0, 0.0)
        assert 0.0 < row["entropy"] < math.log(8)


@pytest.mark.parametrize("stopped_at", [2, 4])
def test_a_training_that_dwells_on_things_resumes_to_the_same_bytes(
    train: Train, make_job: MakeJob, stopped_at: int
) -> None:
    emphasis = Emphasis([0.3, 0.5, 0.7], [0.42, 0.3, 0.18], drop_flat_groups=True)
    settings = {**TWO_UPDATES, "steps": 6, "checkpoint_every_steps": 2}
    # Only one group of each step has a signal, so that there is one update for two.
    reward = _flat_in({0, 1, 3})
    whole = _train(train, make_job("whole", **settings), emphasis, reward=reward)

    def stop(step: int, metrics: object) -> None:
        if step == stopped_at:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        _train(train, make_job("again", **settings), emphasis, reward=reward, report=stop)
    again = _train(train, make_job("again", **settings), emphasis, reward=reward)
    assert again.resumed_from_step == stopped_at
    assert _contents(again) == _contents(whole)


def test_what_a_training_dwells_on_is_in_its_fingerprint_and_nothing_is_where_it_dwells_on_nothing(
    make_job: MakeJob,
) -> None:
    job = make_job()
    others = [Emphasis(weights=[0.5] * 3), Emphasis(clip_highs=[0.5] * 3), Emphasis(drop_flat_groups=True)]
    prints = {replace(job, emphasis=each).fingerprint for each in (Emphasis(), *others)}
    assert len(prints) == 4
    assert job.fingerprint in prints
