"""A question is worth less the more near-copies of it the batch holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from tasks.rewards.term import Batch, Column, Floats, Term, TermSettings


class RepetitionSettings(TermSettings):
    """Lambda is `weight`. Paper: 1."""

    threshold: float = Field(
        0.5, gt=0.0, le=1.0, description="tau: clusters are cut at this BLEU distance. Paper: 0.5."
    )


def cluster_shares(questions: Sequence[str | None], threshold: float = 0.5) -> Floats:
    """|C_k| / B of each question, shape (B,): the share of the batch that its cluster holds.

    Clusters are average linkage over 1 - BLEU, cut at `threshold` (paper, section 2.2, tau = 0.5).
    B is the length of the list handed in, so hand in the whole batch: None or "" stands for a
    badly formed question and is a cluster of its own.
    """
    return _sizes(questions, threshold) / max(1, len(questions))


def cluster_numbers(questions: Sequence[str | None], threshold: float = 0.5) -> NDArray[np.int64]:
    """Number of each question's cluster, shape (B,), from 0 in order of first appearance."""
    from tasks.rewards.clusters import cluster_labels

    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"the threshold is a BLEU distance in (0, 1], not {threshold!r}")
    if isinstance(questions, str):
        raise ValueError("questions must be a list of texts, not one text")
    for position, question in enumerate(questions):
        if question is not None and not isinstance(question, str):
            raise ValueError(f"question {position} is a {type(question).__name__}, not a text or None")
    return cluster_labels([question or "" for question in questions], threshold)


def _sizes(questions: Sequence[str | None], threshold: float) -> NDArray[np.int64]:
    numbers = cluster_numbers(questions, threshold)
    return np.bincount(numbers)[numbers]


def _compute(batch: Batch, settings: RepetitionSettings) -> Mapping[str, ArrayLike]:
    sizes = _sizes(batch.questions, settings.threshold)
    return {"cluster_share": sizes / max(1, len(sizes)), "cluster_size": sizes}


TERM = Term(
    name="repetition",
    source="paper, section 2.2: the repetition penalty",
    role="penalty",
    columns=(
        Column("cluster_share", "float", "Size of the question's cluster over that of the batch."),
        Column("cluster_size", "int", "Questions in its cluster; 0 where badly formed."),
    ),
    compute=_compute,
    settings=RepetitionSettings,
    order=0,
)
