"""Stage 6: a Solver answers problems that no training has seen, shard by shard. Nothing is graded here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data import benchmarks
from data.benchmark import Problem
from data.config import EvaluationConfig, RunConfig
from data.prompts import Prompts
from infra.artifacts.artifact import ArtifactRef
from infra.artifacts.problems import problems_of
from infra.samplers import SamplingParams, release_sampler, shared_sampler
from infra.store.store import Store
from tasks.stage.task import Run, part_count, part_of, shard_range, stage
from tasks.stage.truncation import watch_truncation
from tasks.stage.work import Work


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of one benchmark's problems."""

    benchmark: str
    problems: range


def sample_evaluation(run: Run, solver: ArtifactRef) -> ArtifactRef:
    """All completions: one task a shard of problems, then one that gathers them."""
    shards = shards_of(run.store, run.config)
    parts = write_completions.map_parts(run, len(shards), solver=solver) if shards else []
    return gather_completions(run, solver=solver, parts=parts)


def shards_of(store: Store, config: RunConfig) -> list[Shard]:
    """The shards of an evaluation, in the benchmarks' order; none holds problems of two benchmarks."""
    size = config.evaluation.shard_size
    shards = []
    for name in config.evaluation.benchmarks:
        problems = len(problems_of(store, config, name))
        shards += [Shard(name, shard_range(p, problems, size)) for p in range(part_count(problems, size))]
    return shards


def problems_in(work: Work, shard: Shard) -> list[Problem]:
    """The problems of a shard."""
    problems = problems_of(work.store, work.config, shard.benchmark)
    return problems[shard.problems.start : shard.problems.stop]


@part_of("sample_evaluation")
def write_completions(work: Work, part: int, solver: ArtifactRef) -> None:
    """Every completion to one shard of problems. The seeds of a problem do not depend on its shard."""
    config = work.config.evaluation
    shards = shards_of(work.store, work.config)
    shard = shards[part]
    problems = problems_in(work, shard)
    prompts = Prompts(work.config, work.model(solver))
    texts = [prompts.solver(problem.problem) for problem in problems]
    seeds = [work.seed_of(shard.benchmark, problem.problem_id) for problem in problems]
    rows: list[dict[str, Any]] = []
    with shared_sampler(work.config.sampler, work.model(solver)) as sampler:
        for mode, samples in benchmarks.get(shard.benchmark).modes(config).items():
            drawn = sampler.sample(texts, _params(config, mode, samples), seeds)
            for problem, completions in zip(problems, drawn, strict=True):
                rows += [
                    {"benchmark": shard.benchmark, "problem_id": problem.problem_id, "mode": mode}
                    | {"sample": sample, **completion.columns()}
                    for sample, completion in enumerate(completions)
                ]
    work.add_part(part, rows)


@stage("sample_evaluation")
def gather_completions(work: Work, solver: ArtifactRef, parts: Sequence[ArtifactRef]) -> None:
    """The artifact of all shards."""
    release_sampler()
    if not parts:
        work.add_rows("completions", [])
    work.gather(len(parts))
    watch_truncation(work, work.finish_reasons(len(parts)), "evaluation")
    work.figures["completions"] = sum(part.rows or 0 for part in parts)


def _params(config: EvaluationConfig, mode: str, samples: int) -> SamplingParams:
    if mode == "greedy":
        return SamplingParams(max_tokens=config.max_tokens, temperature=0.0)
    return SamplingParams.of(config, samples=samples)
