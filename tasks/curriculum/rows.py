"""Rows of the tables that the filter writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data.domain import Domain, PromptStyle, Truth
from tasks.curriculum.contamination import Overlap
from tasks.curriculum.questions import ScoredQuestion
from tasks.voting.equivalence import Grader


def labels_are_right(
    scored: Sequence[ScoredQuestion], truths: Sequence[Truth], grader: Grader
) -> list[bool | None]:
    """Whether each pseudo-label is the true answer; None where either is not known."""
    pairs = {
        index: (label, truth.answer)
        for index, (question, truth) in enumerate(zip(scored, truths, strict=True))
        if (label := question.majority_answer) is not None and truth.answer is not None
    }
    verdicts = dict(zip(pairs, grader.equivalent(list(pairs.values())), strict=True))
    return [verdicts.get(index) for index in range(len(scored))]


def scored_row(
    number: int, question: ScoredQuestion, truth: Truth, label_is_right: bool | None
) -> dict[str, Any]:
    """A row of the table `scored`, but for what the filter and the judge say."""
    vote = question.vote
    return {
        "question_id": number,
        "question": question.question,
        "challenger_answer": question.answer,
        "majority_answer": question.majority_answer,
        "p_hat": question.p_hat,
        "votes": vote.votes if vote else 0,
        "samples": vote.samples if vote else 0,
        "abstentions": vote.abstentions if vote else 0,
        **question.terms,
        "reward": question.reward,
        "label_is_right": label_is_right,
        "label_is_right_by_judge": None,
        "true_answer": truth.answer,
        "in_range": truth.in_range,
        "terms": truth.terms,
    }


def curriculum_row(index: int, row: Mapping[str, Any], domain: Domain, style: PromptStyle) -> dict[str, Any]:
    """A row of the table `curriculum` from a kept candidate with its pseudo-label."""
    return {
        "iteration": row["iteration"],
        "question_id": row["question_id"],
        "prompt": domain.solver_messages(row["question"], style),
        "question": row["question"],
        "pseudo_label": row["pseudo_label"],
        "p_hat": row["p_hat"],
        "data_source": "rzero",
        "reward_model": {"style": "rule", "ground_truth": row["pseudo_label"]},
        "extra_info": {"index": index, "split": "train"},
    }


def overlap_row(overlap: Overlap, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the table `overlaps` from a candidate's row of `scored`."""
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
