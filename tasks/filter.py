"""Which questions the Solver trains on: those it neither always nor never agrees on (section 2.3)."""

from __future__ import annotations

from data.config import FilterConfig
from tasks.questions import ScoredQuestion

_ROUNDING = 1e-9


def drop_reason(scored: ScoredQuestion, config: FilterConfig) -> str | None:
    """Why a question is dropped; None where it is kept, that is where |p_hat - 1/2| <= delta."""
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
    return None
