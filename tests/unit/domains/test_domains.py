"""A domain of another package: prompts, reading, equality and truth without a line of rzero changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from data import domains
from data.benchmark import Benchmark, Problem
from data.config import DEFAULT_REWARD
from data.domain import DomainError, Truth
from data.prompts import Prompts
from data.resolve import ConfigError, resolve
from tasks.curriculum.questions import score_questions
from tasks.grading.grades import grade
from tasks.grading.reading import read_answer
from tasks.rewards.challenger import ChallengerReward
from tasks.voting.domains import DomainGrader, answer_reader, grader_of, proposal_reader
from tasks.voting.equivalence import Grader
from tasks.voting.votes import Vote, majority
from tests.support.other_package import install

COLOURS = """
from data.domain import Domain, Truth

MIXED = {"red+yellow": "orange", "red+white": "pink"}


def proposal(completion):
    question, found, answer = completion.partition(" -> ")
    return (question, answer, None) if found else (None, None, "no_arrow")


def answer(completion):
    said = completion.removeprefix("It is ")
    return (said, None) if said != completion else (None, "does_not_say")


def equal(a, b):
    while "endless" in (a, b):
        pass
    if "unheard of" in (a, b):
        raise KeyError(a)
    return a.casefold() == b.casefold()


DOMAIN = Domain(
    challenger=lambda style: f"Mix two colours ({style}).",
    solver=lambda question, style: [{"role": "user", "content": f"Mix {question}."}],
    read_proposal=proposal,
    read_answer=answer,
    equal=equal,
    truth=lambda question: Truth(MIXED.get(question), question in MIXED, question.count("+") + 1),
    key=lambda problem: frozenset(problem.split("+")),
)
"""


@pytest.fixture
def colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    install(tmp_path, monkeypatch, "rzero.domains", "colours", COLOURS)
    return "colours"


def _solver(questions: Sequence[str]) -> list[list[str]]:
    said = {"red+yellow": ["It is Orange", "It is orange", "It is brown", "no idea"]}
    return [said[question] for question in questions]


def test_it_goes_from_proposals_over_votes_to_rewards(colours: str) -> None:
    written = ["red+yellow -> orange", "<question>1+1</question>\\boxed{2}"]
    with grader_of(colours) as grader:
        scored, unread = score_questions(written, _solver, grader, ChallengerReward(DEFAULT_REWARD), colours)
        assert scored.vote is not None
        assert (scored.question, scored.answer, scored.reason) == ("red+yellow", "orange", None)
        assert (scored.vote.answer, scored.vote.votes, scored.vote.abstentions) == ("Orange", 2, 1)
        assert scored.p_hat == pytest.approx(2 / 3)
        assert scored.terms["uncertainty"] == pytest.approx(2 / 3)
        assert (unread.question, unread.reason, unread.reward) == (None, "no_arrow", 0.0)
        truth = domains.get(colours).truth_of(scored.question)
        assert truth == Truth("orange", True, 2)
        assert grader.equivalent([(scored.vote.answer, str(truth.answer))]) == [True]


def test_an_equality_that_hangs_or_raises_decides_nothing_and_is_counted(colours: str) -> None:
    with DomainGrader(colours, timeout_seconds=0.5) as grader:
        pairs = [("Red", "red"), ("endless", "red"), ("unheard of", "red"), ("red", "blue")]
        assert grader.equivalent(pairs) == [True, None, None, False]
        assert (grader.timeouts, grader.failures) == (1, 1)


def test_a_vote_joins_what_its_equality_joins_in_whatever_order_the_samples_stand(colours: str) -> None:
    said = ["red", "RED", "blue", "Red", "red", None, "blue", "unheard of"]
    with grader_of(colours) as grader:
        votes = majority([said, said[::-1], [None], ["blue"]], grader)
    assert votes == [Vote("red", 4, 8, 1, 4 / 7)] * 2 + [Vote(None, 0, 1, 1, 0.0), Vote("blue", 1, 1, 0, 1.0)]


def test_its_prompts_are_text_or_messages(colours: str, tmp_path: Path) -> None:
    config = resolve("a", overrides=[f"domain={colours}", "base_model.prompt_style=examples"])
    assert Prompts(config, tmp_path).challenger() == "Mix two colours (examples)."
    asked = [{"role": "user", "content": "Mix red+white."}]
    assert domains.get(colours).solver_messages("red+white", "chat") == asked


def test_its_key_knows_a_problem_again(colours: str) -> None:
    key = domains.get(colours).key
    assert key("red+white") == key("white+red") != key("red+blue")


def test_its_own_benchmark_is_graded_by_its_equality_and_others_by_value(colours: str) -> None:
    read = answer_reader(colours)
    own, others = Benchmark(area="other", grading="domain"), Benchmark(area="math")
    said = [read_answer(benchmark.grading, "It is 4/2", read).answer for benchmark in (own, others)]
    with grader_of(colours) as by_domain, Grader() as by_value:
        two, orange = Problem(0, "", "1+1", "2"), Problem(1, "", "red+yellow", "Orange")
        assert [g.correct for g in grade(own, [(said[0], two), ("orange", orange)], by_domain)] == [
            False,
            True,
        ]
        assert [g.correct for g in grade(others, [(said[1], two)], by_value)] == [True]


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("37 a+5 b-4", None),
        ("37 a+5 b+90", None),
        ("37 a+5 c-4", "off_domain"),
        ("37 a+5 a-4", "off_domain"),
        ("a+5 b-4", "off_domain"),
        ("37 a+5  b-4", "off_domain"),
        ("What is 37 a+5?", "off_domain"),
        ("", "empty"),
    ],
)
def test_what_is_no_question_by_the_grammar_of_a_domain_is_badly_formed(
    question: str, reason: str | None
) -> None:
    found = proposal_reader("arithmetic")(f"<question>{question}</question>\\boxed{{38}}")
    assert found == ((question, "38", None) if reason is None else (None, None, reason))


def test_without_its_own_reading_and_equality_a_domain_has_those_of_mathematics() -> None:
    assert proposal_reader("mathematics")("<question>1+1?</question>\\boxed{2}") == ("1+1?", "2", None)
    for domain in ("mathematics", "arithmetic"):
        assert answer_reader(domain)("so \\boxed{2}") == ("2", None)
        assert type(grader_of(domain)) is Grader


def test_an_unknown_domain_is_one_clear_line() -> None:
    with pytest.raises(
        ConfigError, match=r"^domain: unknown domain 'maths': known are arithmetic, mathematics$"
    ):
        resolve("a", overrides=["domain=maths"])


def test_a_package_that_cannot_be_imported_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "rzero.domains", "broken", "import not_installed\n")
    with pytest.raises(
        DomainError, match=r"^domain 'broken' cannot be loaded: No module named 'not_installed'$"
    ):
        domains.get("broken")


def test_what_is_no_domain_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "rzero.domains", "odd", "DOMAIN = 7\n")
    with pytest.raises(DomainError, match=r"^domain 'odd' is declared as int, not as a Domain$"):
        domains.get("odd")
