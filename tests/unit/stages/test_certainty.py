"""What the Solver learns from by how sure its labels are: weights, clips, and the surest share."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.resolve import ConfigError, resolve
from infra.trainers.emphasis import ALL_ALIKE, Emphasis
from tasks.curriculum.certainty import emphasis_of, label_weights, upper_clips
from tasks.curriculum.filter import drop_unsure


def test_an_advantage_is_weighed_by_a_power_of_p_hat() -> None:
    assert label_weights([0.3, 0.5, 1.0], 1.0) == [0.3, 0.5, 1.0]
    assert label_weights([0.5, 0.6], 2.0) == pytest.approx([0.25, 0.36])
    assert label_weights([0.0, 0.3, 1.0], 0.0) == [1.0, 1.0, 1.0]


def test_the_upper_clip_is_wider_where_the_label_is_unsure() -> None:
    # 0.3 * (1 + 1 * (1 - 0.6)) = 0.42, and 0.3 * (1 - 0.4) = 0.18.
    assert upper_clips([0.3, 0.5, 0.7, 1.0], 0.3, 1.0) == pytest.approx([0.42, 0.3, 0.18, 0.0])
    assert upper_clips([0.3, 0.7], 0.2, 0.5) == pytest.approx([0.24, 0.16])
    assert upper_clips([0.0, 0.3, 1.0], 0.3, 0.0) == [0.3, 0.3, 0.3]


def test_the_paper_dwells_on_nothing_and_the_overlay_on_sure_labels() -> None:
    assert emphasis_of(resolve("a").solver, [0.3, 0.7]) == ALL_ALIKE
    found = emphasis_of(resolve("a", "tiny+agent0-solver").solver, [0.3, 0.7])
    assert found.weights == [0.3, 0.7]
    assert found.clip_highs == pytest.approx([0.42, 0.18])
    assert not found.drop_flat_groups


def test_advantages_are_weighed_by_the_prompt_of_their_rollout() -> None:
    assert Emphasis(weights=(0.5, 0.25)).weighed([1.0, -1.0, 2.0, -2.0], [1, 1, 0, 0]) == [
        0.25,
        -0.25,
        1.0,
        -1.0,
    ]
    assert ALL_ALIKE.weighed([1.0, -1.0], [7, 7]) == [1.0, -1.0]


def test_groups_of_equal_rewards_are_left_out_whole() -> None:
    rewards = [1.0, 1.0, 0.0, 1.0, 0.0, 0.0]
    assert Emphasis(drop_flat_groups=True).trained(rewards, 2) == [2, 3]
    assert ALL_ALIKE.trained(rewards, 2) == [0, 1, 2, 3, 4, 5]


def _row(number: int, p_hat: float, kept: bool = True) -> dict[str, Any]:
    return {"question_id": number, "p_hat": p_hat, "kept": kept, "drop_reason": None if kept else "too_easy"}


def test_the_surest_share_of_the_kept_stays_and_the_others_say_why_not() -> None:
    rows = [_row(0, 0.4), _row(1, 0.7), _row(2, 0.9, kept=False), _row(3, 0.4), _row(4, 0.6), _row(5, 0.3)]
    drop_unsure(rows, 0.6)
    assert [row["question_id"] for row in rows if row["kept"]] == [0, 1, 4]
    assert [row["drop_reason"] for row in rows] == [None, None, "too_easy", "unsure", None, "unsure"]


def test_without_a_share_all_stay_as_they_are() -> None:
    for share in (None, 1.0):
        rows = [_row(0, 0.4), _row(1, 0.7), _row(2, 0.9, kept=False)]
        drop_unsure(rows, share)
        assert rows == [_row(0, 0.4), _row(1, 0.7), _row(2, 0.9, kept=False)]


@given(st.lists(st.integers(0, 10), max_size=40), st.floats(0.001, 1.0))
def test_at_least_one_stays_and_none_that_is_surer_than_one_that_stays_goes(
    votes: list[int], share: float
) -> None:
    rows = [_row(number, vote / 10) for number, vote in enumerate(votes)]
    drop_unsure(rows, share)
    stay = [row["p_hat"] for row in rows if row["kept"]]
    gone = [row["p_hat"] for row in rows if not row["kept"]]
    assert bool(stay) == bool(rows)
    assert len(stay) <= share * len(rows) + 1
    assert not gone or max(gone) <= min(stay)


@pytest.mark.parametrize(
    "override", ["filter.surest_share=0", "filter.surest_share=1.5", "solver.label_trust=-1"]
)
def test_a_share_or_a_trust_out_of_range_is_one_line(override: str) -> None:
    with pytest.raises(ConfigError, match=override.partition("=")[0]) as error:
        resolve("a", overrides=[override])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("preset", "override", "setting"),
    [
        ("qwen3-4b", "solver.drop_flat_groups=true", "drop_flat_groups at False"),
        ("qwen3-4b", "solver.label_trust=0.5", "label_trust at 0.0"),
        ("tiny+verl", "solver.clip_ambiguity=0.5", "clip_ambiguity at 0.0"),
        ("qwen3-8b+agent0-solver", "seed=1", "label_trust at 0.0"),
    ],
)
def test_verl_refuses_in_one_line_what_it_cannot_do(preset: str, override: str, setting: str) -> None:
    with pytest.raises(ConfigError, match=rf"^trainer: verl has no solver\..*{setting}$") as error:
        resolve("a", preset, [override])
    assert "\n" not in str(error.value)


def test_verl_takes_the_other_overlays() -> None:
    config = resolve("a", "qwen3-4b+r-diverse+spice-reward+surest-labels")
    assert (config.trainer.backend, config.filter.surest_share) == ("verl", 0.5)
    resolve("a", "qwen3-4b+agent0-solver", ["trainer.backend=local", "trainer.dtype=bfloat16"])
