"""Stage 2: the trained Challenger writes N candidate questions, shard by shard (paper, section 2.3)."""

from __future__ import annotations

from data.prompts import Prompts
from infra.artifacts.artifact import ArtifactRef
from infra.samplers import SamplingParams, release_sampler, shared_sampler
from tasks.curriculum.vocabulary import dropout_of
from tasks.stage.task import Run, part_count, part_of, shard_range, stage
from tasks.stage.truncation import watch_truncation
from tasks.stage.work import Work
from tasks.voting.domains import proposal_reader


def generate_questions(run: Run, challenger: ArtifactRef) -> ArtifactRef:
    """All candidates: one task a shard, then one that gathers them."""
    config = run.config.questions
    shards = part_count(config.count, config.shard_size)
    parts = write_questions.map_parts(run, shards, challenger=challenger)
    return gather_questions(run, challenger=challenger, parts=parts)


@part_of("generate_questions")
def write_questions(work: Work, part: int, challenger: ArtifactRef) -> None:
    """One shard of candidates."""
    config, prompts = work.config.questions, Prompts(work.config, work.model(challenger))
    numbers = shard_range(part, config.count, config.shard_size)
    seeds = [work.seed_of(number) for number in numbers]
    params = SamplingParams.of(config, dropout=dropout_of(work, part))
    with shared_sampler(work.config.sampler, work.model(challenger)) as sampler:
        drawn = sampler.sample([prompts.challenger(seed) for seed in seeds], params, seeds)
    read, rows = proposal_reader(work.config.domain), []
    for number, (completion,) in zip(numbers, drawn, strict=True):
        question, answer, reason = read(completion.text)
        rows.append(
            {
                "question_id": number,
                **completion.columns(),
                "question": question,
                "challenger_answer": answer,
                "reason": reason,
            }
        )
    work.add_part(part, rows)


@stage("generate_questions")
def gather_questions(work: Work, challenger: ArtifactRef, parts: list[ArtifactRef]) -> None:
    """The artifact of all shards."""
    if work.whole_config.roles == "two":  # One model in both roles goes on to answer them.
        release_sampler()
    work.gather(len(parts))
    watch_truncation(work, work.finish_reasons(len(parts)), "questions")
    work.figures["candidates"] = work.config.questions.count
