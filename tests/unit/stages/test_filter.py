"""Which questions are kept: 3 to 7 of 10 (paper, section 2.3), abstentions counted."""

import pytest

from data.config import FilterConfig
from tasks.curriculum.filter import drop_reason, training_labels
from tasks.curriculum.questions import ScoredQuestion
from tasks.voting.votes import Vote


def _question(votes: int, answered: int = 10, samples: int = 10) -> ScoredQuestion:
    vote = Vote(
        answer="7" if votes else None,
        votes=votes,
        samples=samples,
        abstentions=samples - answered,
        p_hat=votes / answered if answered else 0.0,
    )
    return ScoredQuestion("3+4", "7", None, vote, {}, 0.0)


@pytest.mark.parametrize(
    ("votes", "reason"),
    [(1, "too_hard"), (2, "too_hard"), (8, "too_easy"), (10, "too_easy")]
    + [(votes, None) for votes in range(3, 8)],
)
def test_three_to_seven_of_ten_are_kept(votes: int, reason: str | None) -> None:
    assert drop_reason(_question(votes), FilterConfig()) == reason


def test_a_question_that_few_answered_is_dropped() -> None:
    assert drop_reason(_question(2, answered=4), FilterConfig()) == "too_few_answered"
    assert drop_reason(_question(3, answered=5), FilterConfig()) is None


def test_a_question_that_nobody_answered_is_dropped() -> None:
    assert drop_reason(_question(0, answered=0), FilterConfig()) == "no_answer"


def test_a_badly_formed_question_is_dropped_with_its_reason() -> None:
    bad = ScoredQuestion(None, None, "no_box", None, {}, 0.0)
    assert drop_reason(bad, FilterConfig()) == "bad_format:no_box"


def test_the_edge_of_delta_is_inside() -> None:
    assert drop_reason(_question(7), FilterConfig(delta=0.2)) is None
    assert drop_reason(_question(8), FilterConfig(delta=0.3)) is None


def test_a_held_out_question_is_dropped_and_so_is_one_without_truth_where_truth_is_trained_on() -> None:
    assert drop_reason(_question(5), FilterConfig(), held_out=True) == "held_out"
    assert drop_reason(_question(5), FilterConfig(labels="truth"), truth=None) == "no_truth"
    assert drop_reason(_question(5), FilterConfig(labels="truth"), truth="7") is None


def test_a_question_with_a_prompt_over_2048_tokens_is_dropped_unless_its_votes_drop_it_already() -> None:
    assert drop_reason(_question(5), FilterConfig(), prompt_tokens=2048) is None
    assert drop_reason(_question(5), FilterConfig(), prompt_tokens=2049) == "prompt_too_long"
    assert drop_reason(_question(10), FilterConfig(), prompt_tokens=2049) == "too_easy"


def test_the_labels_are_the_majoritys_unless_an_experiment_says_otherwise() -> None:
    majority, truth = [str(n) for n in range(50)], [str(-n) for n in range(50)]
    assert training_labels(majority, truth, FilterConfig(), seed=1) == majority
    assert training_labels(majority, truth, FilterConfig(labels="truth"), seed=1) == truth
    dealt = training_labels(majority, truth, FilterConfig(labels="random"), seed=1)
    assert sorted(dealt) == sorted(majority)
    assert sum(one == other for one, other in zip(dealt, majority, strict=True)) < 10
    assert dealt == training_labels(majority, truth, FilterConfig(labels="random"), seed=1)
