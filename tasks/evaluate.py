"""Stage 7: grade the completions of the evaluation, by rule and, where it is asked for, by a judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from data import benchmarks
from data.benchmark import Benchmark, Problem
from data.config import EvaluationConfig
from data.domain import ReadAnswer
from infra.artifacts.artifact import ArtifactRef
from tasks.grading.grades import grade, read_answer, vote
from tasks.grading.judge import judge_figures, recheck
from tasks.grading.scores import COLUMNS, evaluation_figures
from tasks.sample_evaluation import problems_in, shards_of
from tasks.stage.task import Run, part_of, stage
from tasks.stage.work import Work
from tasks.voting.domains import answer_reader, grader_of
from tasks.voting.equivalence import Grader
from tasks.voting.extraction import solver_answer


def evaluate(run: Run, completions: ArtifactRef) -> ArtifactRef:
    """All grades: one task a shard of problems, then one that gathers them."""
    shards = shards_of(run.store, run.config)
    parts = grade_shard.map_parts(run, len(shards), completions=completions) if shards else []
    return gather_grades(run, completions=completions, parts=parts)


@part_of("evaluate")
def grade_shard(work: Work, part: int, completions: ArtifactRef) -> None:
    """The grades of one shard of problems."""
    config = work.config.evaluation
    shards = shards_of(work.store, work.config)
    shard = shards[part]
    problems = {problem.problem_id: problem for problem in problems_in(work, shard)}
    benchmark = benchmarks.get(shard.benchmark)
    drawn = work.table(completions, part=part)
    # A completion is written as the domain's prompt asks, whatever its benchmark grades by.
    read, by_domain = answer_reader(work.config.domain), benchmark.grading == "domain"
    with grader_of(work.config.domain) if by_domain else Grader() as grader:
        rows = [
            row
            for _, of_mode in drawn.group_by("mode", maintain_order=True)
            for row in graded_rows(benchmark, problems, of_mode, grader, read)
        ]
    if config.judge is not None and benchmark.grading in ("math", "domain"):
        rows = recheck(work.store, config.judge, work.seed_of("judge"), rows)
    work.add_part(part, rows)
    work.log.info(f"evaluate: shard {part + 1}/{len(shards)}, {len(problems)} of {shard.benchmark}")


@stage("evaluate")
def gather_grades(work: Work, completions: ArtifactRef, parts: Sequence[ArtifactRef]) -> None:
    """The artifact of all shards, with its figures."""
    if not parts:
        work.add_rows("evaluation", [])
        return
    work.gather(len(parts))
    columns = [*COLUMNS, "reason", "answer", "rule_correct", "judge_correct", "judge_tokens"]
    rows = pl.concat([work.part_table(part).select(columns) for part in parts])
    work.figures |= figures_of(rows, work.config.evaluation)
    shown = ", ".join(
        f"{name} {value:.3f}" for name, value in work.figures.items() if isinstance(value, float)
    )
    work.log.info(f"evaluate: iteration {work.iteration}, {shown}")


def figures_of(rows: pl.DataFrame, config: EvaluationConfig) -> dict[str, Any]:
    """The figures of an evaluation's rows."""
    found = {name: benchmarks.get(name) for name in config.benchmarks}
    areas = {name: benchmark.area for name, benchmark in found.items()}
    headlines = {name: benchmark.headline(benchmark.modes(config)) for name, benchmark in found.items()}
    figures = evaluation_figures(rows, areas, headlines)
    figures["grader_timeouts"] = rows.filter(pl.col("reason") == "timeout").height
    if config.judge is not None:
        figures |= judge_figures(rows)
    return figures


def graded_rows(
    benchmark: Benchmark,
    problems: Mapping[int, Problem],
    drawn: pl.DataFrame,
    grader: Grader,
    read: ReadAnswer = solver_answer,
) -> list[dict[str, Any]]:
    """Rows of the `evaluation` table: each completion's answer and grade, and the vote of its problem.

    `drawn` holds rows of the `completions` table, of one benchmark and one mode.
    """
    groups: dict[int, list[dict[str, Any]]] = {}
    for row in drawn.iter_rows(named=True):
        groups.setdefault(row["problem_id"], []).append(row)
    readings = [
        [read_answer(benchmark, row["completion"], read) for row in group] for group in groups.values()
    ]
    votes = vote(benchmark, [[reading.answer for reading in group] for group in readings], grader)
    asked = [
        (answer, problems[number])
        for number, group, winner in zip(groups, readings, votes, strict=True)
        for answer in (*(reading.answer for reading in group), winner)
    ]
    grades = iter(grade(benchmark, asked, grader))
    rows: list[dict[str, Any]] = []
    for (number, group), found_in, winner in zip(groups.items(), readings, votes, strict=True):
        found = [next(grades) for _ in group]
        majority_correct = bool(next(grades).correct)
        for row, reading, one in zip(group, found_in, found, strict=True):
            rows.append(
                {name: row[name] for name in _KEPT}
                | _problem_columns(problems[number])
                | {
                    "answer": reading.answer,
                    "reason": one.reason or reading.reason,
                    "correct": bool(one.correct),
                    "rule_correct": bool(one.correct),
                    "judge_correct": None,
                    "judge_tokens": None,
                    "majority_answer": winner,
                    "majority_correct": majority_correct,
                }
            )
    return rows


_KEPT = ("benchmark", "problem_id", "mode", "sample", "tokens", "finish_reason")


def _problem_columns(problem: Problem) -> dict[str, Any]:
    return {
        "group": problem.group,
        "problem": problem.problem,
        "gold": " or ".join((problem.gold, *problem.accepted)),
    }
