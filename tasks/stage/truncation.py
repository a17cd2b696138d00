"""Completions cut at their limit: many of them mean that the limit is low, or that the model does not end."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from tasks.stage.work import Work

MANY = 0.1
"""A larger share of cut completions is worth a line in the log."""


def watch_truncation(work: Work, reasons: Iterable[pl.Series], section: str) -> None:
    """Record the share of completions that were cut, and warn where it is large.

    `reasons` are `finish_reason`s, piece by piece; `section` is that of the configuration with the limit.
    """
    cut = count = 0
    for piece in reasons:
        cut, count = cut + int((piece == "length").sum()), count + len(piece)
    if not count:
        return
    share = cut / count
    work.figures["truncated_share"] = round(share, 6)
    if share > MANY:
        limit = getattr(work.config, section).max_tokens
        work.log.warning(
            f"{work.stage.name}: {share:.1%} of {count} completions were cut at {section}.max_tokens "
            f"({limit}); raise it, or see in the texts whether the model ends what it writes"
        )
