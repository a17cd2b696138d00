"""Which prompts a step takes, and what is refused of a reward function."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config import GrpoConfig
from data.schemas import ROLLOUTS, NamedColumn
from infra.samplers import Completion
from infra.trainers.errors import RewardError
from infra.trainers.protocol import Rollout, ScoredRollout, TrainingJob
from infra.trainers.rollouts import (
    prompt_indices,
    rollout_seed,
    rollout_table,
    scored,
    step_metrics,
)


def job(*columns: NamedColumn) -> TrainingJob:
    config = GrpoConfig(steps=3, group_size=2, max_tokens=8)
    return TrainingJob("solver", Path("model"), ["c d"], config, 0, Path("out"), columns)


def rollouts(count: int = 4) -> list[Rollout]:
    completion = Completion(text="a b", token_ids=(2, 3, 1), finish_reason="stop", seed=5, prompt_tokens=2)
    return [
        Rollout(step=3, group=i // 2, prompt_index=0, prompt="c d", completion=completion)
        for i in range(count)
    ]


@given(count=st.integers(1, 40), per_step=st.integers(1, 50), seed=st.integers(0, 2**62))
def test_each_epoch_takes_every_prompt_once(count: int, per_step: int, seed: int) -> None:
    steps = -(-3 * count // per_step)
    order = [index for step in range(1, steps + 1) for index in prompt_indices(count, per_step, step, seed)]
    for epoch in range(3):
        assert sorted(order[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_epochs_and_seeds_are_shuffled_differently() -> None:
    orders = [tuple(prompt_indices(50, 50, step, seed)) for step in (1, 2) for seed in (0, 1)]
    assert len(set(orders)) == 4


def test_a_short_list_is_repeated_evenly_within_a_step() -> None:
    counts = Counter(prompt_indices(3, 7, 1, seed=0))
    assert sorted(counts.values()) == [2, 2, 3]


def test_a_training_without_prompts_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one prompt"):
        prompt_indices(0, 4, 1, seed=0)


def test_every_group_of_every_step_has_a_seed_of_its_own() -> None:
    seeds = {
        rollout_seed(seed, step, group) for seed in (0, 1) for step in range(1, 9) for group in range(64)
    }
    assert len(seeds) == 2 * 8 * 64


def test_the_reward_sees_the_whole_batch_in_order_and_once() -> None:
    calls: list[list[Rollout]] = []

    def reward(batch: list[Rollout]) -> list[ScoredRollout]:
        calls.append(list(batch))
        return [ScoredRollout(float(i)) for i in range(len(batch))]

    batch = rollouts()
    assert [score.reward for score in scored(job(), reward, batch)] == [0.0, 1.0, 2.0, 3.0]
    assert calls == [batch]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ([ScoredRollout(1.0)] * 3, r"solver, step 3: .*scored 3 of 4"),
        ([ScoredRollout(1.0)] * 3 + [ScoredRollout(float("nan"))], r"reward of rollout 3 is nan"),
        ([ScoredRollout(float("inf"))] * 4, r"reward of rollout 0 is inf"),
        ([ScoredRollout(1.0, {"mood": "good"})] * 4, r"unknown reward parts: mood; known are answer"),
        ([ScoredRollout(1.0, {"seed": 1})] * 4, r"unknown reward parts: seed"),
    ],
    ids=["too few", "nan", "infinite", "unknown part", "a column of the trainer"],
)
def test_a_reward_function_that_breaks_its_contract_is_named_with_role_and_step(
    result: list[ScoredRollout], message: str
) -> None:
    with pytest.raises(RewardError, match=message):
        scored(job(), lambda batch: result, rollouts())


def test_a_reward_part_of_the_wrong_type_is_an_error() -> None:
    scores = [ScoredRollout(1.0, {"p_hat": "half"})] * 4
    with pytest.raises(RewardError, match="solver: a reward part does not fit"):
        rollout_table(job(), rollouts(), scores, [0.0] * 4)


def test_all_rollouts_land_in_the_table_with_their_parts() -> None:
    scores = [ScoredRollout(i / 4, {"p_hat": 0.5, "question": "q"}) for i in range(4)]
    table = rollout_table(job(), rollouts(), scores, [1.0, -1.0, 2.0, -2.0])
    assert table.schema.equals(ROLLOUTS, check_metadata=True)
    assert table.column("sample").to_pylist() == [0, 1, 0, 1]
    assert table.column("reward").to_pylist() == [0.0, 0.25, 0.5, 0.75]
    last = table.to_pylist()[-1]
    assert (
        last
        | {
            "group": 1,
            "advantage": -2.0,
            "tokens": 3,
            "completion": "a b",
            "prompt": "c d",
            "p_hat": 0.5,
            "question": "q",
            "pseudo_label": None,
        }
        == last
    )


def test_reward_parts_are_the_columns_that_may_be_null() -> None:
    rewards = [ScoredRollout(1.0, {"p_hat": 0.5, "pseudo_label": None})] * 4
    assert scored(job(), lambda batch: rewards, rollouts()) == rewards
    rewards = [ScoredRollout(1.0, {"reward": 1, "advantage": 1, "prompt": "", "seed": 1})] * 4
    with pytest.raises(RewardError, match="unknown reward parts: advantage, prompt, reward, seed;"):
        scored(job(), lambda batch: rewards, rollouts())


def test_a_column_of_a_job_s_reward_is_a_part_too() -> None:
    with_share = job(("word_share", "float", "Words."))
    scores = scored(with_share, lambda batch: [ScoredRollout(1.0, {"word_share": 0.5})] * 4, rollouts())
    table = rollout_table(with_share, rollouts(), scores, [0.0] * 4)
    assert table.column("word_share").to_pylist() == [0.5] * 4


def test_the_metrics_of_a_step_describe_its_rollouts() -> None:
    update = dict.fromkeys(("policy_loss", "kl", "entropy", "clip_share", "gradient_norm"), 0.5)
    row = step_metrics(job(), rollouts(), [1.0, 1.0, 0.0, 1.0], update)
    assert row["reward_mean"] == 0.75
    assert row["reward_std"] == pytest.approx(0.4330127)
    assert row["groups_without_signal"] == 0.5
    assert row["completion_tokens_mean"] == 3
    assert row["truncated_share"] == 0
    assert row["kl"] == 0.5
