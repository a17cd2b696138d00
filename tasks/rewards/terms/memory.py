"""A question is worth less where an earlier iteration asked nearly the same."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.rewards.likeness import likeness
from tasks.rewards.term import Column, Term

NEAR_BLEU = 0.5
"""Two questions this alike are near-duplicates: the repetition penalty's threshold, tau = 0.5."""


def near_earlier(questions: Sequence[str], earlier: Sequence[str]) -> list[bool]:
    """Whether each question is a near-duplicate of an earlier one, shape (questions,).

    That is the same text but for case and spaces, or a BLEU of at least 0.5 with the earlier one as the
    hypothesis, as in the repetition penalty.
    """
    return [bool(largest >= NEAR_BLEU) for largest in likeness(questions, earlier)[0]]


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
