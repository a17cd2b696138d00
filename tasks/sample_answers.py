"""Stage 3: the frozen Solver answers every well-formed candidate m times, shard by shard (section 2.3)."""

from __future__ import annotations

import polars as pl

from data.prompts import Prompts
from infra.artifacts.artifact import ArtifactRef
from infra.samplers import SamplingParams, release_sampler, shared_sampler
from tasks.stage.task import Run, part_count, part_of, shard_range, stage
from tasks.stage.truncation import watch_truncation
from tasks.stage.work import Work


def sample_answers(run: Run, questions: ArtifactRef, solver: ArtifactRef) -> ArtifactRef:
    """All answers: one task a shard of candidates, then one that gathers them."""
    shards = part_count(run.config.questions.count, run.config.answers.shard_size)
    parts = write_answers.map_parts(run, shards, questions=questions, solver=solver)
    return gather_answers(run, questions=questions, solver=solver, parts=parts)


@part_of("sample_answers")
def write_answers(work: Work, part: int, questions: ArtifactRef, solver: ArtifactRef) -> None:
    """The answers to one shard of candidates."""
    config = work.config.answers
    numbers = shard_range(part, work.config.questions.count, config.shard_size)
    shard = work.table(questions, columns=["question_id", "question", "reason"]).filter(
        pl.col("question_id").is_between(numbers.start, numbers.stop, closed="left")
        & pl.col("reason").is_null()
    )
    prompts = Prompts(work.config, work.model(solver))
    asked = list(zip(shard["question_id"], shard["question"], strict=True))
    seeds = [work.seed_of(number) for number, _ in asked]
    with shared_sampler(work.config.sampler, work.model(solver)) as sampler:
        drawn = sampler.sample(
            [prompts.solver(question) for _, question in asked],
            SamplingParams.of(config, samples=config.samples),
            seeds,
        )
    rows = []
    for (number, _), completions in zip(asked, drawn, strict=True):
        for sample, completion in enumerate(completions):
            row = {"question_id": number, "sample": sample, **completion.columns()}
            rows.append(row | {"prompt_tokens": completion.prompt_tokens})
    work.add_part(part, rows)


@stage("sample_answers")
def gather_answers(work: Work, questions: ArtifactRef, solver: ArtifactRef, parts: list[ArtifactRef]) -> None:
    """The artifact of all shards."""
    release_sampler()
    work.gather(len(parts))
    watch_truncation(work, work.finish_reasons(len(parts)), "answers")
    work.figures["samples_per_question"] = work.config.answers.samples
