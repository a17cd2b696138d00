"""How different a batch of questions is, within itself and from those of earlier iterations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.rewards import bleu

NGRAMS = (1, 2, 3, 4)
NEAR_BLEU = 0.5
"""Two questions this alike are near-duplicates: the repetition penalty's threshold, tau = 0.5."""


def distinct_shares(questions: Sequence[str]) -> dict[int, float | None]:
    """distinct-n, n of 1 to 4: different word n-grams over all (Li et al. 2016); None without one."""
    shares: dict[int, float | None] = {}
    texts = [question.lower().split() for question in questions]
    for size in NGRAMS:
        grams = [tuple(words[i : i + size]) for words in texts for i in range(len(words) - size + 1)]
        shares[size] = len(set(grams)) / len(grams) if grams else None
    return shares


def diversity_figures(questions: Sequence[str]) -> dict[str, Any]:
    """Figures of well-formed questions: length in words and characters, distinct-1 and distinct-4."""
    if not questions:
        return {}
    shares = distinct_shares(questions)
    figures = {
        "question_words_mean": sum(len(question.split()) for question in questions) / len(questions),
        "question_characters_mean": sum(map(len, questions)) / len(questions),
        **{f"distinct_{size}": share for size, share in shares.items() if share is not None},
    }
    return {name: round(value, 6) for name, value in figures.items()}


def near_earlier(questions: Sequence[str], earlier: Sequence[str]) -> list[bool]:
    """Whether each question is a near-duplicate of an earlier one, shape (questions,).

    That is the same text but for case and spaces, or a BLEU of at least 0.5 with the earlier one as the
    hypothesis, as in the repetition penalty.
    """
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
