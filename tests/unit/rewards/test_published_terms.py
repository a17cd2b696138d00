"""Terms of the Challenger's reward from papers after R-Zero, by numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.config import DEFAULT_REWARD
from data.resolve import resolve
from tasks.rewards.challenger import ChallengerReward, settled
from tasks.rewards.likeness import likeness
from tasks.rewards.term import Batch
from tasks.rewards.terms.memory import near_earlier
from tasks.rewards.terms.recycling import RecyclingSettings, recycling
from tasks.rewards.terms.variance import variance_gain

EARLIER = ("what is one plus two", "name the seventh prime number")


def _batch(questions: list[str | None], p_hat: list[float], earlier: tuple[str, ...] = ()) -> Batch:
    valid = np.array([question is not None for question in questions], dtype=bool)
    return Batch(questions, valid, np.array(p_hat), np.ones(len(p_hat)), earlier=earlier)


@pytest.mark.parametrize(
    ("p_hat", "exponent"),
    [
        (0.5, 0.0),
        # 0.3 * 0.7 = 0.21, which is 0.04 from 1/4: 0.0016 / 0.02 = 0.08.
        (0.3, -0.08),
        (0.7, -0.08),
        # 0.1 * 0.9 = 0.09: 0.16 squared is 0.0256, over 0.02.
        (0.1, -1.28),
        (0.0, -3.125),
        (1.0, -3.125),
    ],
)
def test_the_gaussian_of_spice_at_points_worked_out_by_hand(p_hat: float, exponent: float) -> None:
    assert variance_gain(p_hat) == pytest.approx(math.exp(exponent), rel=1e-12)


def test_a_wider_spread_forgives_more() -> None:
    assert variance_gain(0.0, spread=0.03125) == pytest.approx(math.exp(-1.0))


@pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan])
def test_a_share_outside_of_0_to_1_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="p_hat must lie in"):
        variance_gain([0.5, wrong])


def test_the_overlay_puts_the_gaussian_in_the_tents_place_and_leaves_the_tents_column() -> None:
    config = settled(resolve("a", "tiny+spice-reward"))
    columns, rewards = ChallengerReward(config.challenger.reward).score(
        _batch(["a b", "c d e f g", None], [0.5, 0.3, 0.5])
    )
    assert columns["uncertainty"] == pytest.approx([1.0, 0.6, 0.0])
    assert columns["variance_gain"] == pytest.approx([1.0, math.exp(-0.08), 0.0])
    # Of three, each is a cluster of its own.
    assert rewards == pytest.approx([1.0 - 1 / 3, math.exp(-0.08) - 1 / 3, 0.0])


@pytest.mark.parametrize(
    ("largest", "mean", "penalty"),
    [
        (0.5, 0.25, 0.0),
        (0.9, 0.2, 0.5 * 0.4),
        (0.3, 0.45, 0.5 * 0.2),
        (1.0, 0.65, 0.5 * 0.5 + 0.5 * 0.4),
    ],
)
def test_the_penalty_of_r_diverse_by_hand(largest: float, mean: float, penalty: float) -> None:
    value = recycling(np.array([largest]), np.array([mean]), RecyclingSettings())
    assert value.tolist() == pytest.approx([penalty])


def test_gamma_and_the_thresholds_are_settings() -> None:
    own = RecyclingSettings(largest_share=0.25, largest_free=0.0, mean_free=0.1)
    assert recycling(np.array([0.8]), np.array([0.5]), own).tolist() == pytest.approx(
        [0.25 * 0.8 + 0.75 * 0.4]
    )


def test_likeness_is_1_to_the_same_text_and_bleu_to_others() -> None:
    largest, mean = likeness(["What is  one plus two", "what is one plus nine"], EARLIER)
    # Of five words four are shared, of four pairs three, of three triples two, of two quadruples one; to the
    # other text no word: 0.
    bleu = (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    assert largest.tolist() == pytest.approx([1.0, bleu])
    assert mean.tolist() == pytest.approx([0.5, bleu / 2])


def test_an_earlier_question_counts_once_however_often_it_was_asked() -> None:
    once, often = (
        likeness(["a b c d"], ["a b c d", "e"]),
        likeness(["a b c d"], ["a b c d"] * 5 + ["E ", "e"]),
    )
    assert [once[1].tolist(), often[1].tolist()] == [[0.5], [0.5]]


def test_without_earlier_questions_nothing_is_alike_and_without_questions_there_is_nothing_to_tell() -> None:
    assert [part.tolist() for part in likeness(["a", "a"], [])] == [[0.0, 0.0], [0.0, 0.0]]
    assert [part.tolist() for part in likeness([], ["a"])] == [[], []]


words = st.lists(st.sampled_from(["a", "B", "c", "d"]), min_size=1, max_size=6).map(" ".join)


@given(st.lists(words, max_size=8), st.lists(words, max_size=8))
@settings(deadline=None)
def test_near_earlier_says_where_the_largest_likeness_is_at_least_a_half(
    questions: list[str], earlier: list[str]
) -> None:
    largest, mean = likeness(questions, earlier)
    assert near_earlier(questions, earlier) == (largest >= 0.5).tolist()
    assert (mean <= largest + 1e-12).all()


def test_the_overlay_of_r_diverse_charges_what_was_asked_before_and_replays() -> None:
    config = settled(resolve("a", "tiny+r-diverse"))
    assert config.memory is not None
    assert config.memory.replay_share == 0.3
    asked: list[str | None] = ["what is one plus two", "a new one", None]
    columns, rewards = ChallengerReward(config.challenger.reward).score(_batch(asked, [0.5] * 3, EARLIER))
    assert columns["earlier_largest"] == pytest.approx([1.0, columns["earlier_largest"][1], 0.0])
    # (1 - 1/2) / 2 for the copy and (1/2 - 1/4) / 2 for the mean.
    assert columns["recycling"] == pytest.approx([0.375, 0.0, 0.0])
    assert rewards == pytest.approx([1.0 - 1 / 3 - 0.375, 1.0 - 1 / 3, 0.0])


@pytest.mark.parametrize("off", [{}, {"variance": None, "recycling": None}])
def test_off_the_reward_its_columns_and_its_settings_are_the_papers(off: Mapping[str, Any]) -> None:
    batch = _batch(["a b c d", "a b c d", "e", None], [0.5, 0.3, 0.7, 0.0], ("a b c d",))
    plain, without = ChallengerReward(DEFAULT_REWARD), ChallengerReward(DEFAULT_REWARD | off)
    assert without.columns == plain.columns
    assert without.score(batch) == plain.score(batch)


def test_a_weight_of_0_only_watches() -> None:
    batch = _batch(["a b c d", "a b c d"], [0.5, 0.3], ("a b c d",))
    watched = DEFAULT_REWARD | {"variance": {"weight": 0.0}, "recycling": {"weight": 0.0}}
    columns, rewards = ChallengerReward(watched).score(batch)
    assert rewards == ChallengerReward(DEFAULT_REWARD).score(batch)[1]
    assert columns["recycling"] == pytest.approx([0.625, 0.625])
