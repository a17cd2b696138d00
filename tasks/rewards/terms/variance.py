"""A question is worth most where the frozen Solver's answers split in half: a Gaussian in place of a tent."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from tasks.rewards.term import Batch, Column, Floats, Term, TermSettings
from tasks.rewards.terms.uncertainty import checked_shares


class VarianceSettings(TermSettings):
    """The Gaussian's spread. Weigh `uncertainty` with 0, or set it to null, to put this in its place."""

    spread: float = Field(
        0.01, gt=0.0, description="sigma squared: the variance of p (1 - p) around 1/4. SPICE: 0.01."
    )


def variance_gain(p_hat: ArrayLike, spread: float = 0.01) -> Floats:
    """exp(-(p_hat (1 - p_hat) - 1/4)^2 / (2 spread)) of each question, same shape as `p_hat`, in 0..1.

    p_hat (1 - p_hat) is the variance of one sample's agreement with the majority, 1/4 at most. ValueError
    where a p_hat is NaN or outside 0..1.
    """
    shares = checked_shares("p_hat", p_hat)
    return np.exp(-((shares * (1.0 - shares) - 0.25) ** 2) / (2.0 * spread))


def _compute(batch: Batch, settings: VarianceSettings) -> Mapping[str, ArrayLike]:
    return {"variance_gain": variance_gain(batch.p_hat, settings.spread)}


TERM = Term(
    name="variance",
    source="SPICE (arXiv 2510.24684): its Challenger's reward, of the vote instead of a document's answer",
    role="gain",
    columns=(
        Column(
            "variance_gain",
            "float",
            "exp(-(p_hat (1 - p_hat) - 1/4)^2 / (2 spread)); 0 where badly formed.",
        ),
    ),
    compute=_compute,
    settings=VarianceSettings,
)
