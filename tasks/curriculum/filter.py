"""Which questions the Solver trains on: those it neither always nor never agrees on (section 2.3)."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from data.config import LONGEST_PROMPT_TOKENS, FilterConfig
from tasks.curriculum.questions import ScoredQuestion

_ROUNDING = 1e-9


def drop_reason(
    scored: ScoredQuestion,
    config: FilterConfig,
    held_out: bool = False,
    truth: str | None = None,
    contaminated: bool = False,
    prompt_tokens: int = 0,
) -> str | None:
    """Why a question is dropped; None where it is kept, that is where |p_hat - 1/2| <= delta.

    `held_out` says that the question is a problem of the evaluation; `truth` matters only where the labels
    are the true answers; `contaminated` that it resembles a problem of the evaluation and is to be dropped;
    `prompt_tokens` is the length of the Solver's prompt with it.
    """
    if scored.vote is None:
        return f"bad_format:{scored.reason}"
    if scored.vote.answer is None:
        return "no_answer"
    if scored.answered_share < config.min_answered_share - _ROUNDING:
        return "too_few_answered"
    if scored.p_hat > 0.5 + config.delta + _ROUNDING:
        return "too_easy"
    if scored.p_hat < 0.5 - config.delta - _ROUNDING:
        return "too_hard"
    if prompt_tokens > LONGEST_PROMPT_TOKENS:
        return "prompt_too_long"
    if held_out:
        return "held_out"
    if contaminated:
        return "contaminated"
    if config.labels == "truth" and truth is None:
        return "no_truth"
    return None


def drop_unsure(rows: Sequence[dict[str, Any]], share: float | None) -> None:
    """Of the kept rows of `scored` leave only this share, those of the highest p_hat; None: all of them.

    Of questions that are equally sure the earlier candidate stays. The others say `unsure`.
    """
    kept = [row for row in rows if row["kept"]]
    if share is None or not kept:
        return
    kept.sort(key=lambda row: (-row["p_hat"], row["question_id"]))
    for row in kept[max(1, math.ceil(share * len(kept) - _ROUNDING)) :]:
        row["kept"], row["drop_reason"] = False, "unsure"


def training_labels(
    majority: Sequence[str], truth: Sequence[str | None], config: FilterConfig, seed: int
) -> list[str]:
    """What the Solver is told is right, for each kept question: the majority's answer (section 2.3).

    For experiments: the true answers (the upper bound), or the majority answers dealt out at random among
    the questions (a lower bound: the same answers, nothing to learn from them).
    """
    if config.labels == "truth":
        return [str(answer) for answer in truth]
    labels = list(majority)
    if config.labels == "random":
        random.Random(seed).shuffle(labels)
    return labels
