"""A question is worth most where the frozen Solver's answers split in half."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from tasks.rewards.term import Column, Floats, Term


def uncertainty(p_hat: ArrayLike) -> Floats:
    """1 - 2|p_hat - 1/2| of each question (paper, section 2.2), same shape as `p_hat`, in 0..1.

    `p_hat` is the share of the answers that agree with the majority answer. Raises ValueError where
    one is NaN or outside 0..1.
    """
    return 1.0 - 2.0 * np.abs(checked_shares("p_hat", p_hat) - 0.5)


def checked_shares(name: str, values: ArrayLike) -> Floats:
    """The values as an array; ValueError where one does not lie in 0..1."""
    array = np.asarray(values, dtype=np.float64)
    wrong = ~((array >= 0.0) & (array <= 1.0))
    if wrong.any():
        first = np.argwhere(wrong)[0]
        place = f" at position {', '.join(map(str, first))}" if array.ndim else ""
        raise ValueError(f"{name} must lie in 0..1, but is {array[tuple(first)]}{place}")
    return array


TERM = Term(
    name="uncertainty",
    source="paper, section 2.2: r_uncertainty",
    role="gain",
    columns=(Column("uncertainty", "float", "1 - 2|p_hat - 1/2|; 0 where badly formed."),),
    compute=lambda batch, settings: {"uncertainty": uncertainty(batch.p_hat)},
)
