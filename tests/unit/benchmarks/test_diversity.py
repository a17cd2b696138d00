"""How different questions are, within a batch and from earlier ones."""

import pytest

from tasks.curriculum.figures import distinct_shares, diversity_figures
from tasks.rewards.terms.memory import near_earlier

EARLIER = ["Find the sum of all primes below 100 that are one more than a square.", "37+5-8"]


def test_distinct_n_is_the_share_of_different_n_grams() -> None:
    shares = distinct_shares(["a b a b", "a b"])
    assert shares[1] == pytest.approx(2 / 6)
    assert shares[2] == pytest.approx(2 / 4)
    assert shares[4] == 1
    assert distinct_shares(["a"])[2] is None


def test_figures_of_nothing_are_none() -> None:
    assert diversity_figures([]) == {}
    assert diversity_figures(["one two three"])["question_words_mean"] == 3


def test_copies_and_close_variants_of_earlier_questions_are_near() -> None:
    questions = [
        "find  the sum of all primes below 100 that are one more than a SQUARE.",
        "Find the sum of all primes below 200 that are one more than a square.",
        "How many lattice points lie on the circle of radius 5?",
        "37+5-8",
        "37+5-9",
    ]
    assert near_earlier(questions, EARLIER) == [True, True, False, True, False]


def test_without_earlier_questions_nothing_is_near() -> None:
    assert near_earlier(["a b c"], []) == [False]
    assert near_earlier([], EARLIER) == []
