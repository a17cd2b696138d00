"""The Challenger's and the Solver's reward."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tasks.rewards.challenger import challenger_rewards, cluster_numbers, cluster_shares, uncertainty
from tasks.rewards.solver import solver_rewards


def test_uncertainty_is_one_at_a_half_and_zero_at_both_ends() -> None:
    assert uncertainty([0.0, 0.25, 0.5, 0.7, 1.0]) == pytest.approx([0.0, 0.5, 1.0, 0.6, 0.0])


def test_uncertainty_of_nothing_is_nothing() -> None:
    assert uncertainty([]).shape == (0,)


@pytest.mark.parametrize("wrong", [[0.5, float("nan")], [1.1], [-0.1], [float("inf")]])
def test_a_share_outside_zero_to_one_is_refused(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="p_hat must lie in"):
        uncertainty(wrong)


def test_the_share_of_a_cluster_counts_the_whole_batch() -> None:
    questions = ["what is one plus two", "what is one plus two", "name a prime between ten and twelve", None]
    assert cluster_shares(questions) == pytest.approx([0.5, 0.5, 0.25, 0.25])


def test_missing_and_blank_questions_are_clusters_of_their_own() -> None:
    assert cluster_shares([None, "", " ", None]) == pytest.approx([0.25] * 4)
    assert cluster_numbers([None, "", None]).tolist() == [0, 1, 2]


def test_an_empty_batch_has_no_shares() -> None:
    assert cluster_shares([]).shape == (0,)


def test_a_batch_of_one_is_its_own_cluster() -> None:
    assert cluster_shares(["what is one plus one"]).tolist() == [1.0]


def test_a_threshold_that_is_no_distance_is_refused() -> None:
    for threshold in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="threshold"):
            cluster_shares(["a"], threshold)


def test_one_text_instead_of_a_list_is_refused() -> None:
    with pytest.raises(ValueError, match="list of texts"):
        cluster_shares("abc")
    with pytest.raises(ValueError, match="question 1 is a int"):
        cluster_shares(["a", 3])  # type: ignore[list-item]


def test_the_reward_is_uncertainty_less_repetition() -> None:
    rewards = challenger_rewards([0.5, 0.5, 0.9], [0.1, 0.3, 0.1], [True, True, True])
    assert rewards == pytest.approx([0.9, 0.7, 0.1])


def test_the_reward_never_falls_below_zero() -> None:
    assert challenger_rewards([0.95], [0.5], [True]).tolist() == [0.0]


def test_a_badly_formed_question_earns_nothing_whatever_its_numbers() -> None:
    rewards = challenger_rewards([0.5, float("nan")], [0.0, 7.0], [False, False], [1.0, float("nan")])
    assert rewards.tolist() == [0.0, 0.0]


def test_half_abstaining_and_half_agreeing_earns_nothing() -> None:
    assert challenger_rewards([1.0], [0.0], [True], [0.5]).tolist() == [0.0]


def test_abstentions_scale_the_uncertainty_and_not_the_penalty() -> None:
    rewards = challenger_rewards([0.5], [0.2], [True], [0.6], repetition_weight=2.0)
    assert rewards == pytest.approx([0.6 - 0.4])


def test_an_empty_batch_has_no_rewards() -> None:
    assert challenger_rewards([], [], []).shape == (0,)


def test_parts_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shares has shape \(1,\), but valid has shape \(2,\)"):
        challenger_rewards([0.5, 0.5], [0.1], [True, True])


def test_numbers_in_place_of_booleans_are_refused() -> None:
    with pytest.raises(ValueError, match="booleans"):
        challenger_rewards([0.5], [0.1], [1])


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="repetition_weight"):
        challenger_rewards([0.5], [0.1], [True], repetition_weight=-1.0)


class _Spelling:
    def equivalent(self, pairs: Sequence[tuple[str, str]]) -> list[bool | None]:
        return [None if a == "hard" else a == b for a, b in pairs]


def test_the_solver_earns_one_for_the_label_and_nothing_for_anything_else() -> None:
    rewards = solver_rewards(["1", "2", None, " ", "hard"], ["1", "1", "1", "1", "1"], _Spelling())
    assert np.array_equal(rewards, [1.0, 0.0, 0.0, 0.0, 0.0])


def test_an_empty_label_is_refused() -> None:
    with pytest.raises(ValueError, match="label 0 is empty"):
        solver_rewards(["1"], [" "], _Spelling())
    with pytest.raises(ValueError, match="1 answers but 2 labels"):
        solver_rewards(["1"], ["1", "2"], _Spelling())
