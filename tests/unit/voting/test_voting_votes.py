"""Majority votes."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.voting.equivalence import Grader
from tasks.voting.votes import Vote, majority


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(timeout_seconds=60.0, workers=1) as shared:
        yield shared


def vote(grader: Grader, *answers: str | None) -> Vote:
    return majority([list(answers)], grader)[0]


def test_equal_answers_vote_together_under_the_commonest_spelling(grader: Grader) -> None:
    assert vote(grader, "1/2", "0.5", r"\frac12", "0.5", "2") == Vote("0.5", 4, 5, 0, 0.8)


def test_abstentions_neither_vote_nor_count_in_the_share(grader: Grader) -> None:
    assert vote(grader, "5", "5", None, "", "  ", "6") == Vote("5", 2, 6, 3, 2 / 3)


def test_nobody_answering_gives_no_answer_and_a_share_of_zero(grader: Grader) -> None:
    assert vote(grader, None, "") == Vote(None, 0, 2, 2, 0.0)
    assert vote(grader) == Vote(None, 0, 0, 0, 0.0)
    assert majority([], grader) == []


def test_a_tie_goes_to_the_shortest_spelling_then_to_the_alphabet(grader: Grader) -> None:
    assert vote(grader, "12", "7", "12", "7").answer == "7"
    assert vote(grader, "8", "7", "8", "7").answer == "7"


def test_a_bare_value_joins_its_name_or_unit(grader: Grader) -> None:
    assert vote(grader, "5", "5 cm", "x=5", "5") == Vote("5", 4, 4, 0, 1.0)


def test_a_bare_value_joins_the_likelier_of_two_names(grader: Grader) -> None:
    assert vote(grader, "5", "x=5", "y=5", "y=5").votes == 3


def test_two_names_or_two_units_never_join(grader: Grader) -> None:
    assert vote(grader, "5 cm", "5 cm", "5 m", "5 m", "5 km").votes == 2
    assert vote(grader, "x=5", "y=5", "z=5").votes == 1


def test_a_sum_joins_its_value(grader: Grader) -> None:
    assert vote(grader, r"\sum_{k=1}^{4} k", "10", "11").votes == 2


def test_an_answer_beyond_all_limits_votes_for_its_own_spelling() -> None:
    long, endless = "1+" * 200 + "1", r"\sum_{k=1}^{10^7} \frac{1}{k!+1}"
    with Grader(timeout_seconds=0.5, workers=1) as grader:
        assert vote(grader, endless, endless, "5", long) == Vote(endless, 2, 4, 0, 0.5)
        assert (grader.timeouts + grader.failures, grader.refusals) == (1, 1)


def test_answers_that_differ_in_a_part_do_not_vote_together(grader: Grader) -> None:
    assert vote(grader, *(rf"f(x)={k}x, x \ge 1" for k in (2, 3, 5, 2))).p_hat == 0.5
    assert vote(grader, r"x=1 \quad y=2", r"x=3 \quad y=2", "2").votes == 1


ANSWERS = [
    "5", "5.0", "x=5", "y=5", "x = 5", "5 cm", "5 m", "50 mm", r"5\text{ cm}", "2x=10", "6", r"\frac{10}{2}",
    "cat", "act", "(1,2)", r"\{1,2\}", "1,2", "2,1", r"\pm 1", "[1,2]", r"1 \le x \le 2", None, "", "5%",
    "0.05", "1+" * 200, r"\sqrt{25}", "x>5", r"(5,\infty)", "x^2", "f(x)=x^2", "A", r"\text{A}",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(ANSWERS), max_size=12), st.randoms(use_true_random=False))
def test_the_vote_does_not_depend_on_the_order_of_the_samples(
    answers: list[str | None], generator: random.Random
) -> None:
    with Grader() as grader:
        shuffled = list(answers)
        generator.shuffle(shuffled)
        assert majority([answers], grader) == majority([shuffled], grader)
        assert majority([answers, shuffled], grader) == majority([shuffled], grader) * 2


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(ANSWERS), max_size=12))
def test_votes_and_abstentions_add_up(answers: list[str | None]) -> None:
    with Grader() as grader:
        result = majority([answers], grader)[0]
        assert result.abstentions == sum(not answer for answer in answers)
        assert result.votes >= max((answers.count(answer) for answer in answers if answer), default=0)
        assert result.samples == len(answers)
        answered = len(answers) - result.abstentions
        assert result.p_hat == (result.votes / answered if answered else 0.0)
