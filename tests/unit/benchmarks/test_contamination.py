"""The contamination check finds what was planted and leaves a clean set alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from data.benchmark import Problem
from data.config import DEFAULT_REWARD
from data.resolve import resolve
from data.schemas import SCHEMAS
from flows.start import begin
from infra.artifacts.artifact import ArtifactRef, Location, manifest_of
from infra.artifacts.writer import ArtifactWriter
from infra.store.store import Store
from infra.store.tables import table_of
from tasks.curriculum.contamination import find_overlaps, words
from tasks.curriculum.filter import drop_reason
from tasks.curriculum.questions import score_votes
from tasks.rewards.challenger import ChallengerReward
from tasks.score_and_filter import score_and_filter
from tasks.stage.task import Run
from tasks.voting.votes import Vote
from tests.support.benchmark_rows import write_data

EGGS = (
    "Janet's ducks lay 16 eggs per day. She eats three for breakfast every morning and sells the remainder "
    "at the market for $2 per egg. How much does she make every day at the market?"
)
WALK = (
    "Every morning Aya goes for a $9$-kilometer-long walk and stops at a coffee shop afterwards. When she "
    "walks at a constant speed of $s$ kilometers per hour, the walk takes her 4 hours."
)
PROBLEMS = {"gsm8k": [Problem(0, "", EGGS, "18")], "aime2024": [Problem(0, "", WALK, "204")]}
CLEAN = [
    "Find the number of positive integers n less than 1000 such that n^2 + n is divisible by 7.",
    "A regular hexagon has side 4. What is the area of the circle that touches all of its sides?",
    "Let f(x) = x^3 - 3x. How many real solutions does f(f(x)) = 0 have?",
    "How many eggs does a farmer sell at the market if each of his 12 hens lays one egg a day?",
    "The walk to school takes Ben 12 minutes at a constant speed. How far is the school?",
    "37+5-8",
    None,
]
REWORDED = EGGS.replace("16", "24").replace("three", "5").replace("$2", "$3.50")


def found(questions: list[str | None]) -> list[tuple[int, str, bool]]:
    return [(o.question, o.benchmark, o.verbatim) for o in find_overlaps(questions, PROBLEMS, 8, 0.5)]


def test_a_copy_is_found_whatever_its_spaces_and_case() -> None:
    assert found([*CLEAN, EGGS.upper().replace(" ", "  ")]) == [(7, "gsm8k", True)]


def test_other_numbers_do_not_hide_a_problem() -> None:
    assert found([REWORDED]) == [(0, "gsm8k", False)]
    assert found([EGGS.replace("16", "sixteen").replace("three", "3")]) == [(0, "gsm8k", False)]


def test_a_problem_within_a_longer_question_is_found() -> None:
    longer = f"Consider the following story and then answer. {WALK} Find the speed, in whole kilometers."
    assert found([longer]) == [(0, "aime2024", False)]


def test_a_part_of_a_problem_is_found() -> None:
    assert found([EGGS.split(". ")[1] + ". How much?"]) == [(0, "gsm8k", False)]


def test_a_clean_set_has_no_hits() -> None:
    assert found(CLEAN) == []


def test_a_short_text_is_met_only_word_by_word() -> None:
    short = {"b": [Problem(0, "", "What is 2+2?", "4")]}
    overlaps = find_overlaps(["what is 2 + 2", "What is 3+3?"], short, 8, 0.5)
    assert [(o.question, o.verbatim) for o in overlaps] == [(0, True)]


def test_numbers_and_letters_that_name_quantities_are_one_mark() -> None:
    assert words("A 12-gon has $n$ sides, 3.5 cm each") == words("a seven-gon has $m$ sides, 1,000 cm each")


def test_the_problem_that_shares_most_is_named() -> None:
    near = {"x": [Problem(0, "", REWORDED, "1")], "y": [Problem(5, "", EGGS, "18")]}
    (overlap,) = find_overlaps([EGGS], near, 8, 0.5)
    assert (overlap.benchmark, overlap.problem.problem_id, overlap.verbatim) == ("y", 5, True)


def test_a_hit_is_dropped_only_where_that_is_asked_for() -> None:
    config = resolve("a", "qwen3-4b").filter
    (scored,) = score_votes([("q", "1", None)], [Vote("1", 5, 10, 0, 0.5)], ChallengerReward(DEFAULT_REWARD))
    assert config.contamination == "report"
    assert drop_reason(scored, config) is None
    assert drop_reason(scored, config, contaminated=True) == "contaminated"


QUESTIONS = [EGGS, REWORDED, str(CLEAN[0])]


def _artifacts(store: Store, prompt_tokens: Sequence[int] = (9, 9, 9)) -> tuple[ArtifactRef, ArtifactRef]:
    """Three candidates, each with ten answers that split in half."""
    common = {"seed": 0, "completion": "c", "tokens": 1, "finish_reason": "stop"}
    questions = [
        common | {"question_id": n, "question": text, "challenger_answer": "1", "reason": None}
        for n, text in enumerate(QUESTIONS)
    ]
    answers = [
        common
        | {"question_id": n, "sample": s, "completion": rf"So \boxed{{{s % 2}}}"}
        | {"prompt_tokens": prompt_tokens[n]}
        for n in range(len(QUESTIONS))
        for s in range(10)
    ]
    refs = []
    for kind, stage, rows in (
        ("questions", "generate_questions", questions),
        ("answers", "sample_answers", answers),
    ):
        writer = ArtifactWriter(store, Location(run="a", iteration=1, stage=stage, key="k"))
        writer.add_table(table_of(rows, SCHEMAS[kind]))
        refs.append(writer.commit(kind=kind, stage_version=1, seed=0, inputs={}, figures={}, config={}))
    return refs[0], refs[1]


@pytest.mark.parametrize(
    ("contamination", "kept", "hits"),
    [("report", [1, 2], 2), ("drop", [2], 2), ("off", [1, 2], None)],
)
def test_the_stage_lists_its_hits(
    contamination: str, kept: list[int], hits: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_data(tmp_path / "data", [])
    pl.DataFrame({"question": [EGGS], "answer": ["#### 18"]}).write_ndjson(data / "gsm8k.jsonl")
    monkeypatch.setenv("RZERO_BENCHMARKS", str(data))
    overrides = ["evaluation.benchmarks=[gsm8k]", f"filter.contamination={contamination}"]
    config = begin("a", store=str(tmp_path / "store"), overrides=overrides)
    store = Store(config.store)
    questions, answers = _artifacts(store)
    ref = score_and_filter.prefect_task.fn(
        run=Run(config=config, iteration=1), questions=questions, answers=answers
    )
    scored = pl.read_parquet(f"{ref.uri}/part-*.parquet")
    # A copy word by word is held out whatever the setting.
    assert scored["drop_reason"][0] == "held_out"
    assert scored.filter("kept")["question_id"].to_list() == kept
    assert manifest_of(store, ref).figures.get("contaminated") == hits
    if hits is not None:
        overlaps = pl.read_parquet(f"{ref.uri}/overlaps/part-*.parquet")
        assert overlaps.select("question_id", "verbatim").rows() == [(0, True), (1, False)]
        assert overlaps["kept"].to_list() == [False, 1 in kept]


def test_the_stage_keeps_questions_with_long_prompts_out_of_the_curriculum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RZERO_BENCHMARKS", str(tmp_path))
    config = begin("a", store=str(tmp_path / "store"), overrides=["evaluation.benchmarks=[]"])
    questions, answers = _artifacts(Store(config.store), prompt_tokens=(2048, 2049, 9))
    ref = score_and_filter.prefect_task.fn(
        run=Run(config=config, iteration=1), questions=questions, answers=answers
    )
    scored = pl.read_parquet(f"{ref.uri}/part-*.parquet")
    assert scored["drop_reason"].to_list() == [None, "prompt_too_long", None]
    curriculum = pl.read_parquet(f"{ref.uri}/curriculum/part-*.parquet")
    assert curriculum["question_id"].to_list() == [0, 2]
