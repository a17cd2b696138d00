"""Stage 4: votes become pseudo-labels, the filter makes the curriculum (paper, section 2.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from data import domains
from data.benchmark import Problem
from infra.artifacts.artifact import ArtifactRef
from infra.artifacts.problems import problems_of
from tasks.curriculum.contamination import Overlap, find_overlaps
from tasks.curriculum.figures import diversity_figures, scoring_figures
from tasks.curriculum.filter import drop_reason, drop_unsure, training_labels
from tasks.curriculum.memory import Row, memory_rows, remembered, replayed
from tasks.curriculum.questions import ScoredQuestion, score_votes
from tasks.curriculum.rows import curriculum_row, labels_are_right, overlap_row, scored_row
from tasks.grading.judge import judge_labels
from tasks.rewards.challenger import ChallengerReward, keeps_memory
from tasks.stage.task import stage
from tasks.stage.work import Work
from tasks.voting.domains import answer_reader, grader_of
from tasks.voting.equivalence import Grader
from tasks.voting.votes import Vote, majority


@stage("score_and_filter")
def score_and_filter(
    work: Work, questions: ArtifactRef, answers: ArtifactRef, earlier: ArtifactRef | None = None
) -> None:
    """Vote on every candidate, score it as in training, keep those at the edge of the Solver's ability."""
    candidates, memory = work.table(questions), remembered(work, earlier)
    known = [row["question"] for row in memory]
    domain = domains.get(work.config.domain)
    formula = ChallengerReward(work.config.challenger.reward)
    read, prompt_tokens = _read_answers(work, answers)
    work.add_rows("votes", read)
    proposals = list(candidates.select("question", "challenger_answer", "reason").iter_rows())
    with grader_of(work.config.domain) as grader:
        scored = score_votes(proposals, _votes(candidates, read, grader), formula, known)
        truths = [domain.truth_of(question.question) for question in scored]
        right = labels_are_right(scored, truths, grader)
        work.figures["grader_timeouts"] = grader.timeouts
    rows = [
        scored_row(number, question, truth, is_right)
        for number, (question, truth, is_right) in enumerate(zip(scored, truths, right, strict=True))
    ]
    _filter(work, scored, rows, prompt_tokens)
    kept = _labelled(work, [row for row in rows if row["kept"]])
    again = _replayed(work, memory, kept)
    if work.config.evaluation.judge is not None:
        judged, figures = judge_labels(work.store, work.config.evaluation.judge, work.seed_of("judge"), kept)
        work.figures |= figures
        for row in rows:
            row["label_is_right_by_judge"] = judged.get(row["question_id"])
    work.add_rows("scored", rows, formula.columns)
    style = work.config.base_model.prompt_style
    curriculum = [curriculum_row(index, row, domain, style) for index, row in enumerate([*kept, *again])]
    work.add_rows("curriculum", curriculum)
    if keeps_memory(work.config):
        work.add_rows("memory", memory_rows(memory, work.iteration, rows, kept))
    work.figures |= scoring_figures(pl.DataFrame(rows, infer_schema_length=None))
    work.figures |= diversity_figures([row["question"] for row in rows if row["question"]])
    reward = work.figures["reward_mean"]
    work.log.info(f"score_and_filter: kept {len(kept)} of {len(rows)}, reward {reward:.3f}")


def _filter(
    work: Work, scored: Sequence[ScoredQuestion], rows: Sequence[dict[str, Any]], tokens: Mapping[int, int]
) -> None:
    """Say in each row whether it is kept, or why not; list those that resemble the evaluation's problems."""
    config, domain = work.config.filter, domains.get(work.config.domain)
    names = work.config.evaluation.benchmarks
    problems = {name: problems_of(work.store, work.config, name) for name in names}
    held_out = {domain.key(problem.problem) for each in problems.values() for problem in each}
    overlaps = _overlaps(work, [question.question for question in scored], problems)
    resembling = {overlap.question for overlap in overlaps} if config.contamination == "drop" else set()
    for question, row in zip(scored, rows, strict=True):
        row["drop_reason"] = drop_reason(
            question,
            config,
            held_out=domain.key(question.question or "") in held_out,
            truth=row["true_answer"],
            contaminated=row["question_id"] in resembling,
            prompt_tokens=tokens.get(row["question_id"], 0),
        )
        row["kept"] = row["drop_reason"] is None
    drop_unsure(rows, config.surest_share)
    if config.contamination != "off":
        work.add_rows("overlaps", [overlap_row(overlap, rows[overlap.question]) for overlap in overlaps])
        work.figures["contaminated"] = len(overlaps)
        work.figures["contaminated_kept"] = sum(rows[overlap.question]["kept"] for overlap in overlaps)


def _labelled(work: Work, kept: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The kept rows with what the Solver is told is right."""
    labels = training_labels(
        [row["majority_answer"] for row in kept],
        [row["true_answer"] for row in kept],
        work.config.filter,
        work.seed_of("labels"),
    )
    return [
        {"iteration": work.iteration, **row, "pseudo_label": label}
        for row, label in zip(kept, labels, strict=True)
    ]


def _replayed(work: Work, memory: Sequence[Row], kept: Sequence[Row]) -> list[Row]:
    """Earlier kept questions that the Solver trains on once more."""
    if work.config.memory is None:
        return []
    fresh = [row["question"] for row in kept]
    again = replayed(memory, fresh, work.config.memory.replay_share, work.seed_of("replay"))
    work.figures["replayed"] = len(again)
    return again


def _overlaps(
    work: Work, questions: Sequence[str | None], problems: Mapping[str, Sequence[Problem]]
) -> list[Overlap]:
    """Well-formed candidates that resemble a problem of the evaluation."""
    config = work.config.filter
    if config.contamination == "off":
        return []
    found = find_overlaps(questions, problems, config.contamination_ngram, config.contamination_share)
    if found:
        work.log.warning(
            f"score_and_filter: {len(found)} candidates resemble problems of the evaluation: table overlaps"
        )
    return found


def _read_answers(work: Work, answers: ArtifactRef) -> tuple[list[dict[str, Any]], dict[int, int]]:
    """What each completion of the Solver answers, rows of the table `votes`; each prompt's tokens."""
    read, rows = answer_reader(work.config.domain), []
    prompt_tokens: dict[int, int] = {}
    for part in work.parts(answers, ["question_id", "sample", "completion", "prompt_tokens"]):
        for row in part.sort("question_id", "sample").iter_rows(named=True):
            prompt_tokens[row["question_id"]] = row.pop("prompt_tokens")
            answer, reason = read(row.pop("completion"))
            rows.append({**row, "answer": answer, "reason": reason})
    return rows, prompt_tokens


def _votes(candidates: pl.DataFrame, read: Sequence[Mapping[str, Any]], grader: Grader) -> list[Vote | None]:
    """One vote a candidate, in their order; None where the candidate is badly formed."""
    samples: dict[int, list[str | None]] = {}
    for row in read:
        samples.setdefault(row["question_id"], []).append(row["answer"])
    asked = candidates.filter(pl.col("reason").is_null())["question_id"].to_list()
    missing = [number for number in asked if number not in samples]
    if missing:
        raise ValueError(f"{len(missing)} well-formed candidates have no answers, the first is {missing[0]}")
    votes = dict(zip(asked, majority([samples[number] for number in asked], grader), strict=True))
    return [votes.get(number) for number in candidates["question_id"]]
