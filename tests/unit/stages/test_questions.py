"""The Challenger's reward of a batch, put together from proposals, votes and clusters."""

from collections.abc import Sequence

import pytest

from data.config import DEFAULT_REWARD
from tasks.curriculum.questions import score_questions
from tasks.rewards.challenger import ChallengerReward
from tasks.voting.equivalence import Grader


def _write(question: str) -> str:
    return f"<question>{question}</question>\\boxed{{1}}"


def _ask(answers: dict[str, list[str]]) -> object:
    def ask(questions: Sequence[str]) -> list[list[str]]:
        return [answers[question] for question in questions]

    return ask


def _boxes(*values: str | None) -> list[str]:
    return ["no idea" if value is None else f"so \\boxed{{{value}}}" for value in values]


def test_the_reward_is_highest_where_the_answers_split_in_half() -> None:
    texts = [
        _write("alpha beta gamma delta"),
        _write("one two three four"),
        _write("red green blue black"),
        "rubbish",
    ]
    ask = _ask(
        {
            "alpha beta gamma delta": _boxes(*"1111122222"),
            "one two three four": _boxes(*["3"] * 10),
            "red green blue black": _boxes(*"4444444", "5", "6", "7"),
        }
    )
    with Grader() as grader:
        scored = score_questions(texts, ask, grader, ChallengerReward(DEFAULT_REWARD), "mathematics")  # type: ignore[arg-type]
    # Each question is a cluster of its own, 1 of the batch of 4.
    assert [q.reward for q in scored] == pytest.approx([1.0 - 0.25, 0.0, 0.6 - 0.25, 0.0])
    assert [q.p_hat for q in scored] == pytest.approx([0.5, 1.0, 0.7, 0.0])
    assert scored[3].reason == "no_question"
    assert scored[3].vote is None


def test_abstentions_lower_the_reward_and_do_not_vote() -> None:
    with Grader() as grader:
        (scored,) = score_questions(
            [_write("alpha beta gamma delta")],
            _ask({"alpha beta gamma delta": _boxes("1", "1", "2", "2", *[None] * 4)}),  # type: ignore[arg-type]
            grader,
            ChallengerReward(DEFAULT_REWARD | {"repetition": None}),
            "mathematics",
        )
    assert scored.p_hat == 0.5
    assert scored.answered_share == 0.5
    assert scored.reward == pytest.approx(0.5)


def test_a_question_asked_over_and_over_earns_less() -> None:
    question = "what is the sum of alpha and beta"
    with Grader() as grader:
        scored = score_questions(
            [_write(question)] * 4,
            _ask({question: _boxes(*"1111122222")}),
            grader,
            ChallengerReward(DEFAULT_REWARD),
            "mathematics",
        )
    assert [q.terms["cluster_share"] for q in scored] == [1.0] * 4
    assert [q.reward for q in scored] == [0.0] * 4


def test_a_batch_without_one_well_formed_question_earns_nothing() -> None:
    with Grader() as grader:
        scored = score_questions(
            ["a", "b"], _ask({}), grader, ChallengerReward(DEFAULT_REWARD), "mathematics"
        )  # type: ignore[arg-type]
    assert [q.reward for q in scored] == [0.0, 0.0]


def test_a_question_of_an_earlier_iteration_earns_less_where_it_is_remembered() -> None:
    known, near, fresh = "what is one plus two", "what is one plus two now", "name the seventh prime"
    votes = _ask({text: _boxes(*"1111122222") for text in (known, near, fresh)})
    reward = ChallengerReward(DEFAULT_REWARD | {"repetition": None, "memory": {"weight": 0.75}})
    with Grader() as grader:
        scored = score_questions(
            [_write(text) for text in (known, near, fresh)], votes, grader, reward, "mathematics", [known]
        )
    assert [question.terms["near_earlier"] for question in scored] == [True, True, False]
    assert [question.reward for question in scored] == pytest.approx([0.25, 0.25, 1.0])
