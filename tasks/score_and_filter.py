"""Stage 4: votes become pseudo-labels, the filter makes the curriculum (paper, section 2.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from data.benchmark import Problem
from data.benchmarks import problem_key, problem_keys
from data.config import BaseModelConfig
from data.prompts import solver_messages
from data.truth import truth_of
from infra.artifacts import ArtifactRef
from infra.problems import problems_of
from tasks.contamination import Overlap, find_overlaps
from tasks.diversity import diversity_figures
from tasks.filter import drop_reason, training_labels
from tasks.questions import ScoredQuestion, score_votes
from tasks.stage import stage
from tasks.voting.equivalence import Grader
from tasks.voting.votes import Vote, majority
from tasks.work import Work


@stage("score_and_filter")
def score_and_filter(work: Work, questions: ArtifactRef, answers: ArtifactRef) -> None:
    """Vote on every candidate, score it as in training, and keep what lies at the edge."""
    candidates = work.table(questions)
    config = work.config.challenger
    with Grader() as grader:
        votes = _votes(candidates, work.table(answers), grader)
        scored = score_votes(
            list(candidates.select("question", "challenger_answer", "reason").iter_rows()),
            votes,
            config.repetition_weight,
            config.repetition_threshold,
        )
        truths = [truth_of(question.question, work.config.base_model) for question in scored]
        judged_pairs = [
            (_label(question), truth.answer) for question, truth in zip(scored, truths, strict=True)
        ]
        judged = _judge(judged_pairs, grader)
        work.figures["grader_timeouts"] = grader.timeouts
    base, filter_config = work.config.base_model, work.config.filter
    problems = {
        name: problems_of(work.store, work.config, name) for name in work.config.evaluation.benchmarks
    }
    held_out = problem_keys((problem for each in problems.values() for problem in each), base)
    overlaps = _overlaps(work, [question.question for question in scored], problems)
    resembling = {overlap.question for overlap in overlaps}
    rows = []
    for number, (question, truth, right) in enumerate(zip(scored, truths, judged, strict=True)):
        is_held_out = problem_key(question.question or "", base) in held_out
        is_contaminated = number in resembling and filter_config.contamination == "drop"
        reason = drop_reason(question, filter_config, is_held_out, truth.answer, is_contaminated)
        rows.append(
            _row(number, question, len(scored))
            | {"kept": reason is None, "drop_reason": reason, "label_is_right": right}
            | {"true_answer": truth.answer, "in_range": truth.in_range, "terms": truth.terms}
        )
    work.add_rows("scored", rows)
    kept_rows = [row for row in rows if row["kept"]]
    labels = training_labels(
        [row["majority_answer"] for row in kept_rows],
        [row["true_answer"] for row in kept_rows],
        work.config.filter,
        work.seed_of("labels"),
    )
    curriculum = [_curriculum_row(row, label, base) for row, label in zip(kept_rows, labels, strict=True)]
    work.add_rows("curriculum", curriculum)
    if filter_config.contamination != "off":
        work.add_rows("overlaps", [_overlap_row(overlap, rows[overlap.question]) for overlap in overlaps])
        work.figures["contaminated"] = len(overlaps)
        work.figures["contaminated_kept"] = sum(rows[overlap.question]["kept"] for overlap in overlaps)
    work.figures |= _figures(pl.DataFrame(rows, infer_schema_length=None))
    work.figures |= diversity_figures([row["question"] for row in rows if row["question"]])
    kept, reward = work.figures["kept"], work.figures["reward_mean"]
    work.log.info(f"score_and_filter: kept {kept} of {len(rows)}, reward {reward:.3f}")


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


def _overlap_row(overlap: Overlap, row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "question_id": overlap.question,
        "question": row["question"],
        "benchmark": overlap.benchmark,
        "problem_id": overlap.problem.problem_id,
        "problem": overlap.problem.problem,
        "share": overlap.share,
        "verbatim": overlap.verbatim,
        "kept": row["kept"],
    }


def _votes(candidates: pl.DataFrame, answers: pl.DataFrame, grader: Grader) -> list[Vote | None]:
    """One vote a candidate, in their order; None where the candidate is badly formed."""
    grouped = answers.sort("question_id", "sample").group_by("question_id", maintain_order=True).agg("answer")
    samples = dict(zip(grouped["question_id"], grouped["answer"].to_list(), strict=True))
    asked = candidates.filter(pl.col("reason").is_null())["question_id"].to_list()
    missing = [number for number in asked if number not in samples]
    if missing:
        raise ValueError(f"{len(missing)} well-formed candidates have no answers, the first is {missing[0]}")
    votes: list[Vote | None] = [None] * candidates.height
    for number, vote in zip(asked, majority([samples[number] for number in asked], grader), strict=True):
        votes[number] = vote
    return votes


def _label(question: ScoredQuestion) -> str | None:
    return question.vote.answer if question.vote else None


def _judge(labels: Sequence[tuple[str | None, str | None]], grader: Grader) -> list[bool | None]:
    """Whether each pseudo-label is the true answer; None where either is not known."""
    known = [index for index, (label, truth) in enumerate(labels) if label is not None and truth is not None]
    verdicts = grader.equivalent([(str(labels[index][0]), str(labels[index][1])) for index in known])
    judged: list[bool | None] = [None] * len(labels)
    for index, verdict in zip(known, verdicts, strict=True):
        judged[index] = verdict
    return judged


def _row(number: int, question: ScoredQuestion, candidates: int) -> dict[str, Any]:
    vote = question.vote
    return {
        "question_id": number,
        "question": question.question,
        "challenger_answer": question.answer,
        "majority_answer": _label(question),
        "p_hat": question.p_hat,
        "votes": vote.votes if vote else 0,
        "samples": vote.samples if vote else 0,
        "abstentions": vote.abstentions if vote else 0,
        "answered_share": question.answered_share,
        "uncertainty": question.uncertainty,
        "cluster_share": question.cluster_share,
        "cluster_size": round(question.cluster_share * candidates),
        "reward": question.reward,
    }


def _curriculum_row(row: dict[str, Any], label: str, base_model: BaseModelConfig) -> dict[str, Any]:
    return {
        "question_id": row["question_id"],
        "prompt": solver_messages(row["question"], base_model),
        "question": row["question"],
        "pseudo_label": label,
        "p_hat": row["p_hat"],
        "data_source": "rzero",
        "reward_model": {"style": "rule", "ground_truth": label},
        "extra_info": {"index": row["question_id"], "split": "train"},
    }


def _figures(scored: pl.DataFrame) -> dict[str, Any]:
    """Key figures of the table; shares are of all candidates where nothing else is said."""
    kept = scored.filter("kept")
    valid = scored.filter(pl.col("question").is_not_null())
    figures: dict[str, Any] = {
        "candidates": scored.height,
        "valid_share": valid.height / scored.height,
        "reward_mean": scored["reward"].mean(),
        "uncertainty_mean": scored["uncertainty"].mean(),
        "kept": kept.height,
        "kept_share": kept.height / scored.height,
        "unique_share": valid["question"].n_unique() / valid.height if valid.height else None,
        "largest_cluster": scored["cluster_size"].max(),
        "label_accuracy": kept["label_is_right"].cast(pl.Float64).mean(),
        "answered_share_mean": valid["answered_share"].mean(),
        "in_range_share": valid["in_range"].cast(pl.Float64).mean(),
        "terms_mean": valid["terms"].cast(pl.Float64).mean(),
    }
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in figures.items()}
