"""The tables of an experiment, from the store alone: figures over seeds, and gains over the first variant."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from flows.report.accuracy import COLUMNS, problem_scores
from flows.report.read import Run
from tasks.stage.graph import STAGES

HARD_GREEDY = 0.8
"""The hard part of a benchmark: its groups in which the base model's greedy accuracy is at most this."""

_FIGURES = {
    "reward before": ("train_challenger", "probe_reward_mean"),
    "reward after": ("score_and_filter", "reward_mean"),
    "kept share": ("score_and_filter", "kept_share"),
    "in range": ("score_and_filter", "in_range_share"),
    "terms": ("score_and_filter", "terms_mean"),
    "label accuracy": ("score_and_filter", "label_accuracy"),
    "kept": ("score_and_filter", "kept"),
    "unique share": ("score_and_filter", "unique_share"),
    "distinct-4": ("score_and_filter", "distinct_4"),
}
COMPARED = ("greedy", "pass@1", "maj@k", "label accuracy", "unique share", "tokens", "seconds")
"""The figures in which a variant's gain over the first is told."""
_DRAWN = {
    "train_challenger": "rollouts",
    "generate_questions": None,
    "sample_answers": None,
    "train_solver": "rollouts",
}
"""The tables, or side tables, that hold what an iteration draws, its evaluation left out."""


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


def gain_rows(variants: Mapping[str, Sequence[Run]]) -> list[dict[str, Any]]:
    """What each variant but the first gains over that in the last iteration that both have, seed by seed.

    Columns: variant, iteration, seeds, then for each figure of COMPARED a mapping of 'mean', 'low', 'high',
    or None if no pair has it. The interval is Student's t over the pairs, 95 %; None for a single pair.
    """
    known: dict[tuple[str, int], dict[str, float | None]] = {}

    def figures_of(run: Run, iteration: int) -> dict[str, float | None]:
        # The first variant is compared with each of the others; its tables are read once.
        if (run.name, iteration) not in known:
            known[run.name, iteration] = _figures(run, iteration, ())
        return known[run.name, iteration]

    names = list(variants)
    of_seed = {run.config.seed: run for run in variants[names[0]]} if names else {}
    rows = []
    for name in names[1:]:
        pairs = [(of_seed[run.config.seed], run) for run in variants[name] if run.config.seed in of_seed]
        last = min((run.last_iteration for pair in pairs for run in pair), default=0)
        if last < 1:
            continue
        found = [[figures_of(run, last) for run in pair] for pair in pairs]
        row: dict[str, Any] = {"variant": name, "iteration": last, "seeds": len(pairs)}
        for figure in COMPARED:
            both = [(before[figure], after[figure]) for before, after in found]
            row[figure] = interval([b - a for a, b in both if a is not None and b is not None])
        rows.append(row)
    return rows


def shown_gains(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The gains for a person: '+mean (low to high)', with 'n.s.' where the interval holds 0."""
    return [
        {name: _shown_gain(value) if isinstance(value, Mapping) else value for name, value in row.items()}
        for row in rows
    ]


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
    made = [
        found[1]
        for stage in STAGES
        if not STAGES[stage].of_base and (found := run.artifact(iteration, stage))
    ]
    figures["tokens"] = _tokens(run, iteration)
    figures["seconds"] = sum(manifest.seconds for manifest in made) if made else None
    return figures


def _tokens(run: Run, iteration: int) -> float | None:
    """Tokens of all that the iteration has drawn and kept."""
    tables = [run.table(iteration, stage, table, ["tokens"]) for stage, table in _DRAWN.items()]
    there = [int(table["tokens"].sum()) for table in tables if table is not None]
    return float(sum(there)) if len(there) == len(tables) else None


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


def interval(values: Sequence[float]) -> dict[str, float | None] | None:
    """The mean of the values with its 95 % interval."""
    if not values:
        return None
    mean = statistics.fmean(values)
    if len(values) < 2:
        return {"mean": mean, "low": None, "high": None}
    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, 0.975)) * statistics.stdev(values) / math.sqrt(len(values))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _shown_gain(value: Mapping[str, float | None]) -> str:
    mean, low, high = value["mean"], value["low"], value["high"]
    if mean is None or low is None or high is None:
        return "–" if mean is None else _signed(mean)
    doubt = " n.s." if low <= 0.0 <= high else ""
    return f"{_signed(mean)} ({_signed(low)} to {_signed(high)}){doubt}"


def _signed(value: float) -> str:
    return ("-" if value < 0 else "+") + _digits(abs(value))


def _shown(value: Mapping[str, float]) -> str:
    low, mean, high = (_digits(value[name]) for name in ("low", "mean", "high"))
    return mean if low == high else f"{mean} ({low}-{high})"


def _digits(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 2 else f"{value:.3f}".replace("0.", ".", 1)
