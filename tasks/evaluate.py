"""Stage 6: measure a Solver on problems that no training has seen, shard by shard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from data import benchmarks
from data.benchmark import Benchmark, Problem
from data.config import EvaluationConfig, RunConfig
from data.domain import ReadAnswer
from data.prompts import Prompts
from infra.artifacts.artifact import ArtifactRef
from infra.artifacts.problems import problems_of
from infra.samplers import Completion, SamplingParams
from infra.samplers.shared import release_sampler, shared_sampler
from infra.store.store import Store
from tasks.grading.grades import grade, read_answer, vote
from tasks.grading.judge import judge_figures, recheck
from tasks.grading.scores import COLUMNS, evaluation_figures
from tasks.stage.task import Run, part_count, part_of, shard_range, stage
from tasks.stage.work import Work
from tasks.voting.domains import answer_reader, grader_of
from tasks.voting.equivalence import Grader
from tasks.voting.extraction import solver_answer


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of one benchmark's problems."""

    benchmark: str
    problems: range


def evaluate(run: Run, solver: ArtifactRef) -> ArtifactRef:
    """All benchmarks: one task a shard of problems, then one that gathers them."""
    shards = shards_of(run.store, run.config)
    parts = evaluate_shard.map_parts(run, len(shards), solver=solver) if shards else []
    return gather_evaluation(run, solver=solver, parts=parts)


def shards_of(store: Store, config: RunConfig) -> list[Shard]:
    """The shards of an evaluation, in the benchmarks' order; none holds problems of two benchmarks."""
    size = config.evaluation.shard_size
    shards = []
    for name in config.evaluation.benchmarks:
        problems = len(problems_of(store, config, name))
        shards += [Shard(name, shard_range(p, problems, size)) for p in range(part_count(problems, size))]
    return shards


@part_of("evaluate")
def evaluate_shard(work: Work, part: int, solver: ArtifactRef) -> None:
    """Every completion to one shard of problems, graded."""
    config = work.config.evaluation
    shards = shards_of(work.store, work.config)
    shard = shards[part]
    benchmark = benchmarks.get(shard.benchmark)
    problems = problems_of(work.store, work.config, shard.benchmark)[
        shard.problems.start : shard.problems.stop
    ]
    drawn = _draw(work, solver, shard.benchmark, benchmark, problems)
    # A completion is written as the domain's prompt asks, whatever its benchmark grades by.
    read, by_domain = answer_reader(work.config.domain), benchmark.grading == "domain"
    with grader_of(work.config.domain) if by_domain else Grader() as grader:
        rows = [
            row
            for mode, completions in drawn.items()
            for row in graded_rows(shard.benchmark, benchmark, problems, mode, completions, grader, read)
        ]
    if config.judge is not None and benchmark.grading in ("math", "domain"):
        rows = recheck(work.store, config.judge, work.seed_of("judge"), rows)
    work.add_part(part, rows)
    work.log.info(f"evaluate: shard {part + 1}/{len(shards)}, {len(problems)} of {shard.benchmark}")


@stage("evaluate")
def gather_evaluation(work: Work, solver: ArtifactRef, parts: list[ArtifactRef]) -> None:
    """The artifact of all shards, with its figures."""
    release_sampler()
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


def _draw(
    work: Work, solver: ArtifactRef, name: str, benchmark: Benchmark, problems: Sequence[Problem]
) -> dict[str, list[list[Completion]]]:
    """Completions by mode and problem. The dice of a problem do not depend on its shard."""
    config = work.config.evaluation
    prompts = Prompts(work.config, work.model(solver))
    texts = [prompts.solver(problem.problem) for problem in problems]
    seeds = [work.seed_of(name, problem.problem_id) for problem in problems]
    with shared_sampler(work.config.sampler, work.model(solver)) as sampler:
        return {
            mode: sampler.sample(texts, _params(config, mode, samples), seeds)
            for mode, samples in benchmark.modes(config).items()
        }


def _params(config: EvaluationConfig, mode: str, samples: int) -> SamplingParams:
    if mode == "greedy":
        return SamplingParams(max_tokens=config.max_tokens, temperature=0.0)
    return SamplingParams.of(config, samples=samples)


def graded_rows(
    name: str,
    benchmark: Benchmark,
    problems: Sequence[Problem],
    mode: str,
    drawn: Sequence[Sequence[Completion]],
    grader: Grader,
    read: ReadAnswer = solver_answer,
) -> list[dict[str, Any]]:
    """Rows of the `evaluation` table: each completion with its answer and grade, and its problem's vote."""
    readings = [[read_answer(benchmark, completion.text, read) for completion in group] for group in drawn]
    votes = vote(benchmark, [[reading.answer for reading in group] for group in readings], grader)
    asked = [
        (answer, problem)
        for problem, group, winner in zip(problems, readings, votes, strict=True)
        for answer in (*(reading.answer for reading in group), winner)
    ]
    grades = iter(grade(benchmark, asked, grader))
    rows: list[dict[str, Any]] = []
    for problem, completions, group, winner in zip(problems, drawn, readings, votes, strict=True):
        found = [next(grades) for _ in group]
        majority_correct = bool(next(grades).correct)
        for sample, (completion, reading, one) in enumerate(zip(completions, group, found, strict=True)):
            rows.append(
                _problem_columns(name, problem)
                | {
                    "mode": mode,
                    "sample": sample,
                    "seed": completion.seed,
                    "completion": completion.text,
                    "tokens": len(completion.token_ids),
                    "finish_reason": completion.finish_reason,
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


def _problem_columns(name: str, problem: Problem) -> dict[str, Any]:
    return {
        "benchmark": name,
        "problem_id": problem.problem_id,
        "group": problem.group,
        "problem": problem.problem,
        "gold": " or ".join((problem.gold, *problem.accepted)),
    }
