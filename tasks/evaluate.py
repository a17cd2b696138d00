"""Stage 7: grade the completions of the evaluation, by rule and, if there is one, by a judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from data import benchmarks
from data.config import EvaluationConfig
from infra.artifacts.artifact import ArtifactRef
from tasks.grading.grades import graded_rows
from tasks.grading.judge import judge_figures, recheck
from tasks.grading.scores import COLUMNS, evaluation_figures
from tasks.sample_evaluation import problems_in, shards_of
from tasks.stage.task import Run, part_of, stage
from tasks.stage.work import Work
from tasks.voting.domains import answer_reader, grader_of
from tasks.voting.equivalence import Grader


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


@stage("evaluate")
def gather_grades(work: Work, completions: ArtifactRef, parts: Sequence[ArtifactRef]) -> None:
    """The artifact of all shards, with its figures."""
    if not parts:
        work.add_rows("evaluation", [])
        return
    work.gather(len(parts))
    columns = [*COLUMNS, "reason", "answer", "rule_correct", "judge_correct", "judge_tokens"]
    rows = pl.concat([work.part_table(part).select(columns) for part in range(len(parts))])
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
