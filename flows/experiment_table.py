"""The table of an experiment: one row per variant and iteration, figures over seeds, from the store alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from flows.report.accuracy import COLUMNS, problem_scores
from flows.report.read import Run

HARD_GREEDY = 0.8
"""The hard part of a benchmark: its groups in which the base model's greedy accuracy is at most this."""

_FIGURES = {
    "reward before": ("train_challenger", "probe_reward_mean"),
    "reward after": ("score_and_filter", "reward_mean"),
    "kept share": ("score_and_filter", "kept_share"),
    "in range": ("score_and_filter", "in_range_share"),
    "terms": ("score_and_filter", "terms_mean"),
    "label accuracy": ("score_and_filter", "label_accuracy"),
}


def hard_groups(runs: Sequence[Run]) -> list[str]:
    """Groups of problems whose greedy accuracy, averaged over the base models, is at most HARD_GREEDY."""
    scores = [_scores(run, 0) for run in runs]
    found = [frame.filter(pl.col("measure") == "greedy") for frame in scores if frame is not None]
    if not found:
        return []
    means = pl.concat(found).group_by("group").agg(pl.col("score").mean())
    return sorted(means.filter(pl.col("score") <= HARD_GREEDY)["group"].to_list())


def experiment_rows(variants: Mapping[str, Sequence[Run]], hard: Sequence[str]) -> list[dict[str, Any]]:
    """One row per variant and iteration: each figure's mean over seeds with its lowest and highest value.

    `hard` are the groups of the hard part. Columns: variant, iteration, seeds, then for each figure
    a mapping of 'mean', 'low', 'high', or None if no seed has it.
    """
    rows = []
    for name, runs in variants.items():
        for iteration in range(max((run.last_iteration for run in runs), default=-1) + 1):
            found = [_figures(run, iteration, hard) for run in runs if run.last_iteration >= iteration]
            row: dict[str, Any] = {"variant": name, "iteration": iteration, "seeds": len(found)}
            for figure in found[0]:
                values = (figures[figure] for figures in found)
                row[figure] = _spread([value for value in values if value is not None])
            rows.append(row)
    return rows


def shown_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows for a person: 'mean (low-high)', three digits."""
    return [
        {name: _shown(value) if isinstance(value, Mapping) else value for name, value in row.items()}
        for row in rows
    ]


def _figures(run: Run, iteration: int, hard: Sequence[str]) -> dict[str, float | None]:
    figures: dict[str, float | None] = dict.fromkeys(
        ("pass@1", "maj@k", "greedy", "pass@1 hard", "greedy hard")
    )
    scores = _scores(run, iteration)
    if scores is not None:
        for measure in ("pass@1", "maj@k", "greedy"):
            part = scores.filter(pl.col("measure") == measure)
            figures[measure] = _mean(part)
            if measure != "maj@k":
                figures[f"{measure} hard"] = _mean(part.filter(pl.col("group").is_in(list(hard))))
    for figure, (stage, name) in _FIGURES.items():
        artifact = run.artifact(iteration, stage)
        figures[figure] = artifact[1].figures.get(name) if artifact else None
    return figures


def _scores(run: Run, iteration: int) -> pl.DataFrame | None:
    evaluation = run.table(iteration, "evaluate", None, COLUMNS)
    return None if evaluation is None else problem_scores(evaluation)


def _mean(scores: pl.DataFrame) -> float | None:
    """Mean over benchmarks of the mean over problems."""
    means = scores.group_by("benchmark").agg(pl.col("score").mean())["score"]
    value: Any = means.mean()
    return value


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"mean": sum(values) / len(values), "low": min(values), "high": max(values)}


def _shown(value: Mapping[str, float]) -> str:
    low, mean, high = (_digits(value[name]) for name in ("low", "mean", "high"))
    return mean if low == high else f"{mean} ({low}-{high})"


def _digits(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 2 else f"{value:.3f}".replace("0.", ".", 1)
