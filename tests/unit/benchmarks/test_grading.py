r"""Golden cases of grading for each benchmark, the authors' known faults among them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pytest

from data import benchmarks
from data.benchmark import Benchmark, Problem
from data.config import BaseModelConfig
from data.resolve import resolve
from infra.samplers import Completion
from tasks.evaluate import figures_of
from tasks.grading.grades import grade, graded_rows, vote
from tasks.grading.reading import letter_of, read_answer, same_text
from tasks.voting.equivalence import Grader
from tests.support.benchmark_rows import ROWS, write_data

MODEL = BaseModelConfig(name="some/model")

GOLDEN = [
    # benchmark, problem, completion, verdict
    ("math500", 0, r"So \boxed{\frac{5}{6}}.", True),
    ("math500", 0, r"So \boxed{5/6}.", True),
    ("math500", 0, r"So \boxed{0.8333}.", False),
    ("math500", 0, r"First \boxed{1}, and later \boxed{\dfrac56}.", True),
    ("math500", 0, r"First \boxed{\frac{5}{6}} and later \boxed{2}", False),
    ("math500", 0, r"The answer is 5/6.", False),
    ("math500", 0, r"\boxed{\frac{5}{6}} and then an open \boxed{", True),
    ("math500", 1, r"\boxed{(3, \pi/2)}", True),
    ("math500", 1, r"\boxed{(\pi/2, 3)}", False),
    ("math500", 2, r"\boxed{Evelyn}", True),
    ("math500", 2, r"\boxed{\text{Evelyn or Ann}}", False),
    ("gsm8k", 0, r"9*2 is \boxed{18}", True),
    ("gsm8k", 0, r"\boxed{\$18}", True),
    ("gsm8k", 0, r"\boxed{18 \text{ eggs}}", True),
    ("gsm8k", 0, r"\boxed{19}", False),
    ("gsm8k", 0, "#### 18", False),
    ("gsm8k", 1, r"\boxed{70000}", True),
    ("gsm8k", 1, r"\boxed{\$70,000.00}", True),
    ("gsm8k", 1, r"\boxed{70}", False),
    ("amc23", 0, r"\boxed{27}", True),
    ("amc23", 0, r"\boxed{27.0}", True),
    ("amc23", 0, r"\boxed{27 \text{ miles}}", True),
    ("amc23", 0, r"\boxed{2} and \boxed{7}", False),
    ("minerva", 0, r"\boxed{1.6 \times 10^{14}}", True),
    ("minerva", 0, r"\boxed{160000000000000}", True),
    ("minerva", 0, r"\boxed{1.6 \times 10^{13}}", False),
    ("minerva", 1, r"\boxed{\sin 2t}", True),
    ("minerva", 1, r"\boxed{\cos(2t)}", False),
    ("olympiadbench", 0, r"\boxed{k=3}", True),
    ("olympiadbench", 1, r"\boxed{(2,7,13), (1,8,19)}", True),
    ("olympiadbench", 1, r"\boxed{(1,8,19)}", False),
    ("olympiadbench", 2, r"\boxed{1, -2}", True),
    ("olympiadbench", 2, r"\boxed{-2}", False),
    ("olympiadbench", 3, r"\boxed{7.15}", True),
    ("olympiadbench", 3, r"\boxed{7.3}", False),
    ("aime2024", 0, r"\boxed{204}", True),
    ("aime2024", 0, r"\boxed{20} \boxed{4}", False),
    ("aime2024", 1, r"\boxed{33}", True),
    ("aime2024", 1, r"\boxed{033}", True),
    ("aime2025", 0, r"\boxed{70}", True),
    ("aime2025", 0, r"\boxed{21 + 49}", True),
    ("aime2025", 0, r"\boxed{49}", False),
    ("mmlu_pro", 0, r"\boxed{C}", True),
    ("mmlu_pro", 0, r"\boxed{\text{(C)}}", True),
    ("mmlu_pro", 0, r"\boxed{C. Argon}", True),
    ("mmlu_pro", 0, r"The answer is (C).", True),
    ("mmlu_pro", 0, r"Perhaps the answer is (A). No: the answer is (C).", True),
    ("mmlu_pro", 0, r"\boxed{B}", False),
    ("mmlu_pro", 0, r"\boxed{Argon}", False),
    ("mmlu_pro", 0, r"\boxed{A, B, C}", False),
    ("mmlu_pro", 0, r"\boxed{B or C}", False),
    ("mmlu_pro", 0, r"I cannot say.", False),
    ("mmlu_pro", 1, r"A good answer is hard to give.", False),
    ("supergpqa", 0, r"\boxed{b}", True),
    ("supergpqa", 0, r"\boxed{(A)}", False),
    ("supergpqa", 0, r"\boxed{}", False),
    ("bbeh", 0, r"\boxed{No}", True),
    ("bbeh", 0, r"The answer is: no.", True),
    ("bbeh", 0, r"The answer is: not certain", False),
    ("bbeh", 0, r"no", False),
    ("bbeh", 1, r"\boxed{(B)}", True),
    ("bbeh", 1, r"\boxed{b}", True),
    ("bbeh", 1, r"\boxed{A}", False),
    ("bbeh", 2, r"\boxed{Ann,Bo}", True),
    ("bbeh", 2, r"\boxed{\text{Ann, Bo}}", True),
    ("bbeh", 2, r"\boxed{Bo, Ann}", False),
]


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader() as one:
        yield one


@pytest.fixture
def problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Problem]]:
    monkeypatch.setenv("RZERO_BENCHMARKS", str(write_data(tmp_path)))
    return {name: benchmarks.load(name, MODEL) for name in ROWS}


def test_every_golden_case_has_its_verdict(problems: dict[str, list[Problem]], grader: Grader) -> None:
    wrong = []
    for name, number, completion, verdict in GOLDEN:
        benchmark = benchmarks.get(name)
        reading = read_answer(benchmark.grading, completion)
        (found,) = grade(benchmark, [(reading.answer, problems[name][number])], grader)
        if found.correct is not verdict:
            wrong.append((name, completion, reading, found))
    assert wrong == []
    assert {name for name, *_ in GOLDEN} == set(ROWS)


def _completion(text: str) -> Completion:
    return Completion(text, (1,), "stop", 0, 1)


def _rows(name: str, given: Sequence[Problem], texts: Sequence[str], grader: Grader) -> pl.DataFrame:
    benchmark = benchmarks.get(name)
    drawn = pl.DataFrame(
        [
            {"benchmark": name, "problem_id": problem.problem_id, "mode": "greedy", "sample": 0}
            | _completion(text).columns()
            for problem, text in zip(given, texts, strict=True)
        ]
    )
    problems = {problem.problem_id: problem for problem in given}
    return pl.DataFrame(graded_rows(benchmark, problems, drawn, grader), infer_schema_length=None)


def _score(name: str, given: Sequence[Problem], texts: Sequence[str], grader: Grader) -> float:
    config = resolve(
        "a", overrides={"evaluation.benchmarks": [name], "evaluation.samples": 0, "evaluation.greedy": True}
    ).evaluation
    value: float = figures_of(_rows(name, given, texts, grader), config)["greedy"]
    return value


@pytest.mark.parametrize("name", ROWS)
def test_a_perfect_sheet_scores_1_and_an_empty_one_0(
    name: str, problems: dict[str, list[Problem]], grader: Grader
) -> None:
    given = problems[name]
    assert _score(name, given, [rf"\boxed{{{problem.gold}}}" for problem in given], grader) == 1.0
    assert _score(name, given, ["" for _ in given], grader) == 0.0


def test_a_shuffled_sheet_scores_at_chance(grader: Grader) -> None:
    dice = random.Random(7)
    letters = "ABCD"
    choice = [Problem(number, "", "q", dice.choice(letters)) for number in range(2000)]
    golds = [problem.gold for problem in choice]
    dice.shuffle(golds)
    # Four standard deviations of 2000 draws at one in four.
    found = _score("mmlu_pro", choice, [rf"\boxed{{{gold}}}" for gold in golds], grader)
    assert abs(found - 0.25) < 4 * (0.25 * 0.75 / 2000) ** 0.5
    numbers = [Problem(number, "", "q", str(number)) for number in range(300)]
    moved = [rf"\boxed{{{(number + 1) % 300}}}" for number in range(300)]
    assert _score("gsm8k", numbers, moved, grader) == 0.0


def test_no_letter_is_wrong_and_stays_without_an_answer(grader: Grader) -> None:
    rows = _rows("mmlu_pro", [Problem(0, "", "q", "A")] * 3, ["", r"\boxed{7}", "Let me think"], grader)
    assert rows["answer"].null_count() == 3
    assert not rows["correct"].any()
    assert rows["reason"].to_list() == ["no_box", "no_letter", "no_box"]


def test_each_accepted_answer_is_right(grader: Grader) -> None:
    problem = Problem(0, "", "q", "2", ("7",))
    benchmark = Benchmark(area="other")
    grades = grade(benchmark, [("2", problem), ("7", problem), ("27", problem), (None, problem)], grader)
    assert [found.correct for found in grades] == [True, True, False, False]


def test_an_answer_beyond_the_graders_limits_is_wrong_with_the_reason(grader: Grader) -> None:
    (found,) = grade(benchmarks.get("math500"), [("9^{9^{9^{9}}}!", Problem(0, "", "q", "5"))], grader)
    assert not found.correct


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("C", "C"),
        ("(c)", "C"),
        ("$C$", "C"),
        (r"\textbf{(C)}", "C"),
        (r"\text{C: five}", "C"),
        ("C)", "C"),
        ("Argon", None),
        ("(A), (B)", None),
        ("(A) or (B)", None),
        ("A or B", None),
        ("AB", None),
        ("7", None),
        ("", None),
    ],
)
def test_one_letter_is_read_and_several_are_none(answer: str, letter: str | None) -> None:
    assert letter_of(answer) == letter


@pytest.mark.parametrize(
    ("answer", "gold", "same"),
    [
        ("Yes", "yes", True),
        ("(a)", "A", True),
        ("7", "7.0", True),
        ("it's", "its", True),
        ("[1,2]", "1, 2", True),
        ("why?", "why", True),
        ("yes\nbecause", "yes", True),
        ("yes and no", "yes", False),
        ("", "yes", False),
        ("(a)(b)", "a)(b", False),
    ],
)
def test_short_texts_are_compared_as_bbeh_does(answer: str, gold: str, same: bool) -> None:
    assert same_text(answer, gold) is same


def test_letters_and_texts_vote_by_what_they_say(grader: Grader) -> None:
    assert vote(benchmarks.get("mmlu_pro"), [["A", "B", "B", None], [None]], grader) == ["B", None]
    assert vote(benchmarks.get("bbeh"), [["(a)", "A", "yes"]], grader) == ["(a)"]
    assert vote(benchmarks.get("math500"), [["1/2", "0.5", "3"]], grader) == ["0.5"]
