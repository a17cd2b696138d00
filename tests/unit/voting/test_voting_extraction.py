"""Reading proposals and answers out of completions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.voting.extraction import (
    MAX_ANSWER_CHARACTERS,
    REASONS,
    depth,
    proposal,
    solver_answer,
)


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (r"so \boxed{34}", "34"),
        (r"\boxed{1} and later \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{ \{ }", r"\{"),
        (r"\boxed {2}", "2"),
        (r"\fbox{2}", "2"),
        (r"\\boxed{7}", "7"),
        (r"\boxed{5} and then \boxed{6", "5"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed{x = \boxed{5}}", "x = 5"),
        (r"\boxed{6 and \boxed{5}", "5"),
        (r"a set {1, 2 \boxed{5}", "5"),
        (r"} \boxed{5}", "5"),
        (r"$$\boxed{-3}$$ <eos>", "-3"),
        ("\\boxed{1\n2}", "1\n2"),
    ],
)
def test_the_last_complete_box_is_the_answer(completion: str, answer: str) -> None:
    assert solver_answer(completion) == (answer, None)
    assert solver_answer(completion)[0] == answer


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        ("", "no_box"),
        ("the answer is 5", "no_box"),
        (r"\boxed{5", "no_box"),
        (r"\boxed 5", "no_box"),
        (r"\boxed{}", "empty"),
        (r"\boxed{ $ $ }", "empty"),
        (r"\boxed{1} \boxed{...}", "empty"),
        (r"\boxed{" + "1" * (MAX_ANSWER_CHARACTERS + 1) + "}", "too_long"),
        (r"\boxed{" + "(" * 21 + ")" * 21 + "}", "too_deep"),
    ],
)
def test_a_refused_answer_has_a_named_reason(completion: str, reason: str) -> None:
    assert solver_answer(completion) == (None, reason)
    assert solver_answer(completion)[0] is None


@pytest.mark.parametrize(
    ("completion", "question", "answer"),
    [
        ("<question>37+5-8</question>\n\\boxed{34}", "37+5-8", "34"),
        ("<Question> What is 1+1? </QUESTION> \\boxed {2}", "What is 1+1?", "2"),
        ("<question>a draft?</question> no: <question>1+1?</question>\\boxed{2}", "1+1?", "2"),
        ("\\boxed{9} <question>1+1?</question> \\boxed{2}<eos>", "1+1?", "2"),
        ("<question>Fill \\boxed{x}: 1+x=3</question> \\boxed{2}", "Fill \\boxed{x}: 1+x=3", "2"),
    ],
)
def test_a_well_formed_proposal_is_read(completion: str, question: str, answer: str) -> None:
    assert proposal(completion) == (question, answer, None)


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        ("", "no_question"),
        ("\\boxed{2}", "no_question"),
        ("<question>1+1? \\boxed{2}", "no_question"),
        ("1+1?</question>\\boxed{2}", "no_question"),
        ("<question>1+1?</question>", "no_box"),
        ("<question>1+1?</question> \\boxed{2", "no_box"),
        ("\\boxed{2} <question>1+1?</question>", "no_box"),
        ("<question>1+1 is \\boxed{2}</question>", "no_box"),
        ("<question> \n </question>\\boxed{2}", "empty"),
        ("<question>1+1?</question>\\boxed{ }", "empty"),
        ("<question>…</question>\\boxed{2}", "template_echo"),
        ("<question>{the full problem statement}</question>\\boxed{2}", "template_echo"),
        ("<question>1+1?</question>\\boxed{final_answer}", "template_echo"),
        ("<question>1+1?</question>\\boxed{\\text{final answer}}", "template_echo"),
        ("<question>1+<question>1?</question></question>\\boxed{2}", "nested"),
        ("<question>" + "1+" * 2001 + "1</question>\\boxed{2}", "too_long"),
        ("<question>1+1?</question>\\boxed{" + "1" * 400 + "}", "too_long"),
    ],
)
def test_a_refused_proposal_has_a_named_reason_and_nothing_else(completion: str, reason: str) -> None:
    assert proposal(completion) == (None, None, reason)


def test_brackets_that_do_not_close_count_as_deep() -> None:
    assert depth("((") == 2
    assert depth("()[]{}") == 1
    assert depth("))((") == 2


_PIECES = st.sampled_from(
    ["\\boxed{", "\\boxed", "{", "}", "\\{", "\\}", "\\", "<question>", "</question>", "1", " ", "x", "\n"]
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.lists(_PIECES, max_size=40).map("".join), st.text(max_size=60)))
def test_any_text_gives_an_answer_or_a_documented_reason(completion: str) -> None:
    answer, reason = solver_answer(completion)
    assert (answer is None) != (reason is None)
    assert reason is None or reason in REASONS
    question, proposed, why = proposal(completion)
    assert (question is None) == (proposed is None) == (why is not None)
    assert why is None or why in REASONS


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="0123456789+-x ^", min_size=1, max_size=30).filter(lambda text: text.strip() != ""))
def test_what_is_put_in_a_box_is_read_back(content: str) -> None:
    assert solver_answer(f"thus \\boxed{{{content}}}.")[0] == content.strip()


@pytest.mark.parametrize("piece", ["\\boxed{", "\\boxed ", "<question>", "{", "\\boxed{}", " "])
def test_hostile_repetition_is_read_in_one_pass(piece: str) -> None:
    completion = piece * 100_000
    assert solver_answer(completion)[0] is None
    assert proposal(completion)[0] is None
