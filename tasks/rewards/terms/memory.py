"""A question is worth less where an earlier iteration asked nearly the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tasks.rewards.term import Column, Term

NEAR_BLEU = 0.5
"""Two questions this alike are near-duplicates: the repetition penalty's threshold, tau = 0.5."""


def near_earlier(questions: Sequence[str], earlier: Sequence[str]) -> list[bool]:
    """Whether each question is a near-duplicate of an earlier one, shape (questions,).

    That is the same text but for case and spaces, or a BLEU of at least 0.5 with the earlier one as the
    hypothesis, as in the repetition penalty.
    """
    from tasks.rewards import bleu

    spelt = [" ".join(question.lower().split()) for question in questions]
    known = sorted({" ".join(question.lower().split()) for question in earlier})
    copies = set(known)
    found = [question in copies for question in spelt]
    fresh = sorted({question for question, copy in zip(spelt, found, strict=True) if not copy})
    if not known or not fresh:
        return found
    batch = bleu.encode([*known, *fresh])
    columns = slice(len(known), len(known) + len(fresh))
    best = np.zeros(len(fresh))
    for rows in bleu.row_blocks(len(known), len(fresh)):
        np.maximum(best, bleu.dense_block(batch, rows, columns).max(axis=0), out=best)
    near = {question for question, value in zip(fresh, best, strict=True) if value >= NEAR_BLEU}
    return [copy or question in near for question, copy in zip(spelt, found, strict=True)]


TERM = Term(
    name="memory",
    source="not in the paper (docs/evaluation.md)",
    role="penalty",
    columns=(
        Column("near_earlier", "bool", "Whether an earlier iteration asked nearly the same, as remembered."),
    ),
    compute=lambda batch, settings: {
        "near_earlier": near_earlier([question or "" for question in batch.questions], batch.earlier)
    },
    order=1,
    remembers=True,
)
