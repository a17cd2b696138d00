"""The Challenger's reward: uncertainty of the Solver minus repetition within the batch.

R-Zero, section 2.2: a question is worth most where the frozen Solver is right half of the time, and
less the more near-copies of it the batch holds. Everything here is a pure function of arrays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tasks.rewards.clusters import cluster_labels

Floats = NDArray[np.float64]


def uncertainty(p_hat: ArrayLike) -> Floats:
    """1 - 2|p_hat - 1/2| of each question (paper, section 2.2), same shape as `p_hat`, in 0..1.

    `p_hat` is the share of the answers that agree with the majority answer. Raises ValueError where
    one is NaN or outside 0..1.
    """
    return 1.0 - 2.0 * np.abs(_shares("p_hat", p_hat) - 0.5)


def cluster_shares(questions: Sequence[str | None], threshold: float = 0.5) -> Floats:
    """|C_k| / B of each question, shape (B,): the share of the batch that its cluster holds.

    Clusters are average linkage over 1 - BLEU, cut at `threshold` (paper, section 2.2, tau = 0.5).
    B is the length of the list handed in, so hand in the whole batch: None or "" stands for a
    badly formed question and is a cluster of its own.
    """
    return share_of_cluster(cluster_numbers(questions, threshold))


def cluster_numbers(questions: Sequence[str | None], threshold: float = 0.5) -> NDArray[np.int64]:
    """Number of each question's cluster, shape (B,), from 0 in order of first appearance."""
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"the threshold is a BLEU distance in (0, 1], not {threshold!r}")
    if isinstance(questions, str):
        raise ValueError("questions must be a list of texts, not one text")
    for position, question in enumerate(questions):
        if question is not None and not isinstance(question, str):
            raise ValueError(f"question {position} is a {type(question).__name__}, not a text or None")
    return cluster_labels([question or "" for question in questions], threshold)


def share_of_cluster(numbers: NDArray[np.int64]) -> Floats:
    """Size of each member's cluster divided by the number of members, shape (B,)."""
    if len(numbers) == 0:
        return np.zeros(0)
    sizes: Floats = np.bincount(numbers)[numbers] / len(numbers)
    return sizes


def challenger_rewards(
    p_hat: ArrayLike,
    shares: ArrayLike,
    valid: ArrayLike,
    answered: ArrayLike | None = None,
    repetition_weight: float = 1.0,
    near_earlier: ArrayLike | None = None,
    memory_weight: float = 0.0,
) -> Floats:
    """max(0, uncertainty(p_hat) * answered - repetition_weight * shares - memory_weight * near_earlier).

    Shape (B,), 0 where not `valid`. Paper, section 2.2, with lambda = `repetition_weight`. `answered` is the
    share of the Solver's samples that gave an answer at all (1 where None, which is the paper): abstentions
    vote for nothing, and a question that many samples cannot finish must not pass for an uncertain one.
    `near_earlier` is 1 for a question that an earlier iteration asked already (0 where None, the paper).
    All of them lie in 0..1; what they say of an invalid question is not looked at.
    Raises ValueError for other shapes or values.
    """
    keep = np.asarray(valid)
    if keep.ndim != 1:
        raise ValueError(f"valid must have one dimension, not shape {keep.shape}")
    if keep.size == 0:
        keep = keep.astype(bool)
    if keep.dtype != np.bool_:
        raise ValueError(f"valid must hold booleans, not {keep.dtype}")
    for name, weight in (("repetition_weight", repetition_weight), ("memory_weight", memory_weight)):
        if not (np.isfinite(weight) and weight >= 0.0):
            raise ValueError(f"{name} must be a number from 0 up, not {weight!r}")
    parts = {
        "p_hat": p_hat,
        "shares": shares,
        "answered": np.ones(len(keep)) if answered is None else answered,
        "near_earlier": np.zeros(len(keep)) if near_earlier is None else near_earlier,
    }
    checked = {}
    for name, values in parts.items():
        array = np.asarray(values, dtype=np.float64)
        if array.shape != keep.shape:
            raise ValueError(f"{name} has shape {array.shape}, but valid has shape {keep.shape}")
        checked[name] = _shares(name, np.where(keep, array, 0.0))
    reward = uncertainty(checked["p_hat"]) * checked["answered"] - repetition_weight * checked["shares"]
    reward = reward - memory_weight * checked["near_earlier"]
    return np.where(keep, np.maximum(0.0, reward), 0.0)


def _shares(name: str, values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    wrong = ~((array >= 0.0) & (array <= 1.0))
    if wrong.any():
        first = np.argwhere(wrong)[0]
        place = f" at position {', '.join(map(str, first))}" if array.ndim else ""
        raise ValueError(f"{name} must lie in 0..1, but is {array[tuple(first)]}{place}")
    return array
