"""Key figures of the candidates: rewards, labels, and how different their questions are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

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


def scoring_figures(scored: pl.DataFrame) -> dict[str, Any]:
    """Key figures of the table `scored`; shares are of all candidates where nothing else is said."""
    kept = scored.filter("kept")
    valid = scored.filter(pl.col("question").is_not_null())
    figures: dict[str, Any] = {
        "candidates": scored.height,
        "valid_share": valid.height / scored.height,
        "reward_mean": scored["reward"].mean(),
        "uncertainty_mean": scored["uncertainty"].mean(),
        "kept": kept.height,
        "kept_share": kept.height / scored.height,
        "unique_share": valid["question"].n_unique() / valid.height if valid.height else None,
        "largest_cluster": scored["cluster_size"].max(),
        "label_accuracy": kept["label_is_right"].cast(pl.Float64).mean(),
        "near_earlier_share": valid["near_earlier"].cast(pl.Float64).mean(),
        "answered_share_mean": valid["answered_share"].mean(),
        "in_range_share": valid["in_range"].cast(pl.Float64).mean(),
        "terms_mean": valid["terms"].cast(pl.Float64).mean(),
    }
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in figures.items()}
