"""How different the questions of a batch are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

NGRAMS = (1, 2, 3, 4)


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
