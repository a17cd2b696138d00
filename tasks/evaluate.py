"""Stage 6: measure a Solver on problems that no training has seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from data import benchmarks
from data.benchmarks import Problem
from data.prompts import Prompts
from infra.artifacts import ArtifactRef
from infra.samplers import Completion, Sampler, SamplingParams, open_sampler
from tasks.stage import stage
from tasks.voting.equivalence import Grader
from tasks.voting.extraction import solver_answer
from tasks.voting.votes import majority
from tasks.work import Work


@stage("evaluate")
def evaluate(work: Work, solver: ArtifactRef) -> None:
    """Every completion to every problem, graded: mean@k and maj@k of samples, and greedy."""
    config = work.config.evaluation
    modes = {"sampled": SamplingParams.of(config, samples=config.samples)}
    if config.greedy:
        modes["greedy"] = SamplingParams(max_tokens=config.max_tokens, temperature=0.0)
    rows: list[dict[str, Any]] = []
    with open_sampler(work.config.sampler, work.model(solver)) as sampler, Grader() as grader:
        prompts = Prompts(work.config.base_model, work.model(solver))
        for name in config.benchmarks:
            problems = benchmarks.load(name, work.config.base_model)
            for mode, params in modes.items():
                drawn = _draw(work, sampler, prompts, name, problems, params)
                rows += _graded(name, problems, mode, drawn, grader)
        work.figures["grader_timeouts"] = grader.timeouts
    work.add_rows("evaluation", rows)
    if rows:
        work.figures |= evaluation_figures(pl.DataFrame(rows, infer_schema_length=None))
    shown = ", ".join(
        f"{key} {value:.3f}" for key, value in work.figures.items() if "@" in key or key == "greedy"
    )
    work.log.info(f"evaluate: iteration {work.iteration}, {shown}")


def _draw(
    work: Work,
    sampler: Sampler,
    prompts: Prompts,
    name: str,
    problems: Sequence[Problem],
    params: SamplingParams,
) -> list[list[Completion]]:
    seeds = [work.seed_of(name, problem.problem_id) for problem in problems]
    return sampler.sample([prompts.solver(problem.problem) for problem in problems], params, seeds)


def _graded(
    name: str,
    problems: Sequence[Problem],
    mode: str,
    drawn: Sequence[Sequence[Completion]],
    grader: Grader,
) -> list[dict[str, Any]]:
    answers = [[solver_answer(completion.text) for completion in completions] for completions in drawn]
    given = [[answer for answer, _ in group] for group in answers]
    votes = majority(given, grader)
    asked = [
        (answer, problem.gold)
        for problem, group, vote in zip(problems, given, votes, strict=True)
        for answer in (*group, vote.answer)
    ]
    known = iter(grader.equivalent([(answer, gold) for answer, gold in asked if answer is not None]))
    verdicts = iter([False if answer is None else next(known) for answer, _ in asked])
    rows = []
    for problem, completions, group, vote in zip(problems, drawn, answers, votes, strict=True):
        grades = [next(verdicts) for _ in group]
        majority_correct = bool(next(verdicts))
        for sample, (completion, (answer, reason), grade) in enumerate(
            zip(completions, group, grades, strict=True)
        ):
            rows.append(
                {
                    "benchmark": name,
                    "problem_id": problem.problem_id,
                    "group": problem.group,
                    "problem": problem.problem,
                    "gold": problem.gold,
                    "mode": mode,
                    "sample": sample,
                    "seed": completion.seed,
                    "completion": completion.text,
                    "tokens": len(completion.token_ids),
                    "finish_reason": completion.finish_reason,
                    "answer": answer,
                    "reason": "timeout" if grade is None else reason,
                    "correct": bool(grade),
                    "majority_answer": vote.answer,
                    "majority_correct": majority_correct,
                }
            )
    return rows


def evaluation_figures(rows: pl.DataFrame) -> dict[str, Any]:
    """pass@1 (the mean of the k samples), maj@k and greedy accuracy, averaged over benchmarks."""
    figures: dict[str, Any] = {}
    for mode, samples in (
        ("sampled", rows.filter(pl.col("mode") == "sampled")["sample"].n_unique()),
        ("greedy", 1),
    ):
        part = rows.filter(pl.col("mode") == mode)
        if part.is_empty():
            continue
        means = part.group_by("benchmark").agg(pl.col("correct", "majority_correct").mean()).sort("benchmark")
        correct, agreed = means["correct"].mean(), means["majority_correct"].mean()
        if mode == "greedy":
            figures["greedy"] = correct
        else:
            figures |= {"pass@1": correct, f"maj@{samples}": agreed}
    return {name: round(value, 6) for name, value in figures.items()}
