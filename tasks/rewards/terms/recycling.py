"""A question is worth less the more it resembles what earlier iterations asked, one question or all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from data.section import Probability
from tasks.rewards.likeness import likeness
from tasks.rewards.term import Batch, Column, Floats, Term, TermSettings


class RecyclingSettings(TermSettings):
    """gamma and both thresholds. R-Diverse: weight 1, and the defaults."""

    largest_share: Probability = Field(
        0.5, description="gamma: the part of the largest similarity; the rest is that of the mean one."
    )
    largest_free: Probability = Field(0.5, description="tau_max: a largest similarity that costs nothing.")
    mean_free: Probability = Field(0.25, description="tau_mean: a mean similarity that costs nothing.")


def recycling(largest: Floats, mean: Floats, settings: RecyclingSettings) -> Floats:
    """gamma * max(0, largest - tau_max) + (1 - gamma) * max(0, mean - tau_mean), in the arrays' shape."""
    gamma = settings.largest_share
    over_largest = np.maximum(0.0, largest - settings.largest_free)
    over_mean = np.maximum(0.0, mean - settings.mean_free)
    return gamma * over_largest + (1.0 - gamma) * over_mean


def _compute(batch: Batch, settings: RecyclingSettings) -> Mapping[str, ArrayLike]:
    largest, mean = likeness([question or "" for question in batch.questions], batch.earlier)
    return {
        "recycling": recycling(largest, mean, settings),
        "earlier_largest": largest,
        "earlier_mean": mean,
    }


TERM = Term(
    name="recycling",
    source="R-Diverse (arXiv 2602.13103): its memory-augmented penalty, by BLEU instead of embedded code",
    role="penalty",
    columns=(
        Column("recycling", "float", "How far the question repeats earlier iterations; 0 is not at all."),
        Column("earlier_largest", "float", "Its similarity to the earlier question most like it."),
        Column("earlier_mean", "float", "Its mean similarity to all earlier questions."),
    ),
    compute=_compute,
    settings=RecyclingSettings,
    remembers=True,
)
