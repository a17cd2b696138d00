"""From graded completions to figures: mean@k, pass@k, maj@k and greedy, each with its 95 % interval.

A value is the mean over a benchmark's problems. An interval says how far it would move with other problems of
the same kind (percentile bootstrap over problems, keeping the samples of a problem together).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

COLUMNS = ("benchmark", "problem_id", "mode", "sample", "correct", "majority_correct")
RESAMPLES = 2000
MATH_AVERAGE, OVERALL_AVERAGE = "math_average", "overall_average"
_BLOCK = 2_000_000
"""The most counts held in memory at once."""


Values = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % interval."""

    value: float
    low: float
    high: float


def bootstrap(parts: Sequence[Values], weights: Sequence[float] | None = None) -> Interval | None:
    """Weighted mean of the parts' means (by default with equal weights); None without a part.

    The interval resamples each part's values, with the same resamples on every call.
    """
    if not parts:
        return None
    shares = [1 / len(parts)] * len(parts) if weights is None else list(weights)
    generator = np.random.default_rng(0)
    means = np.zeros(RESAMPLES)
    for values, share in zip(parts, shares, strict=True):
        # Drawing equal values together gives the same distribution; a set of 0 and 1 costs two counts.
        levels, counts = np.unique(values, return_counts=True)
        block = max(1, _BLOCK // len(levels))
        for start in range(0, RESAMPLES, block):
            drawn = generator.multinomial(
                len(values), counts / len(values), size=min(block, RESAMPLES - start)
            )
            means[start : start + block] += drawn @ levels / len(values) * share
    low, high = np.quantile(means, [0.025, 0.975])
    value = sum(float(values.mean()) * share for values, share in zip(parts, shares, strict=True))
    return Interval(float(value), float(low), float(high))


def interval(values: Values) -> Interval:
    """Mean of scores in [0, 1] with its interval.

    If all are 0 or all 1, a bootstrap sees no spread, and the interval is the exact binomial one.
    """
    room = 1 - 0.025 ** (1 / len(values))
    if not values.any():
        return Interval(0.0, 0.0, room)
    if (values == 1).all():
        return Interval(1.0, 1 - room, 1.0)
    resampled = bootstrap([values])
    assert resampled is not None
    return resampled


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Chance that one of k samples is right if `correct` of `samples` are: the unbiased estimate.

    1 - C(samples - correct, k) / C(samples, k) (Chen et al. 2021, section 2.1).
    """
    if not 1 <= k <= samples:
        raise ValueError(f"k must be 1 to {samples}, not {k}")
    return 1.0 - math.comb(samples - correct, k) / math.comb(samples, k)


def problem_values(rows: pl.DataFrame) -> dict[str, Values]:
    """For each measure of one benchmark, a value per problem, in [0, 1], in the problems' order.

    `mean@k`, `pass@2`, `pass@4` ... `pass@k` and `maj@k` of the samples, and `greedy`.
    """
    values: dict[str, Values] = {}
    grouped = (
        rows.group_by("mode", "problem_id")
        .agg(
            pl.len().alias("samples"),
            pl.col("correct").sum().alias("right"),
            pl.col("majority_correct").first(),
        )
        .sort("problem_id")
    )
    sampled = grouped.filter(pl.col("mode") == "sampled")
    if not sampled.is_empty():
        if sampled["samples"].n_unique() != 1:
            raise ValueError("the problems of a benchmark have different numbers of samples")
        k = int(sampled["samples"][0])
        right = sampled["right"].to_list()
        values[f"mean@{k}"] = np.array(right) / k
        sizes = [size for size in (2**power for power in range(1, k.bit_length())) if size < k]
        for size in [*sizes, k] if k > 1 else []:
            values[f"pass@{size}"] = np.array([pass_at_k(k, count, size) for count in right])
        if k > 1:
            values[f"maj@{k}"] = sampled["majority_correct"].cast(pl.Float64).to_numpy()
    greedy = grouped.filter(pl.col("mode") == "greedy")
    if not greedy.is_empty():
        values["greedy"] = greedy["right"].cast(pl.Float64).to_numpy()
    return values


def evaluation_figures(
    rows: pl.DataFrame, areas: Mapping[str, str], headlines: Mapping[str, str]
) -> dict[str, Any]:
    """The figures of an evaluation from its rows (COLUMNS): averages, and `scores` with an entry per measure.

    `areas` and `headlines` say for each benchmark which average it belongs to and which mode enters it. The
    averages are the paper's: `math_average` over the mathematics benchmarks, and `overall_average` over that
    figure and each general benchmark. `pass@1`, `maj@k` and `greedy` are means over the benchmarks that have
    them.
    """
    values = {
        str(name): problem_values(part) for (name,), part in rows.sort("benchmark").group_by(
            "benchmark", maintain_order=True
        )
    }  # fmt: skip
    scores: list[dict[str, Any]] = []
    heads: dict[str, Values] = {}
    for name, measures in values.items():
        for measure, each in measures.items():
            is_head = measure.startswith("mean@") if headlines[name] == "sampled" else measure == "greedy"
            if is_head:
                heads[name] = each
            scores.append(
                {"benchmark": name, "measure": measure, "headline": is_head}
                | _rounded(interval(each))
                | {"problems": len(each)}
            )
    figures = _means(values)
    averages, average_scores = _averages(heads, areas)
    return figures | averages | {"scores": [*scores, *average_scores]}


def _means(values: Mapping[str, Mapping[str, Values]]) -> dict[str, float]:
    """pass@1 (the mean of the k samples), maj@k and greedy, averaged over benchmarks."""
    means: dict[str, list[float]] = {}
    majorities = {name for measures in values.values() for name in measures if name.startswith("maj@")}
    maj = majorities.pop() if len(majorities) == 1 else "maj@k"
    names = {"mean": "pass@1", "maj": maj, "greedy": "greedy"}
    for measures in values.values():
        for measure, each in measures.items():
            if name := names.get(measure.partition("@")[0]):
                means.setdefault(name, []).append(float(each.mean()))
    return {name: round(sum(each) / len(each), 6) for name, each in means.items()}


def _averages(
    heads: Mapping[str, Values], areas: Mapping[str, str]
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    mathematics = [each for name, each in heads.items() if areas[name] == "math"]
    general = [each for name, each in heads.items() if areas[name] == "general"]
    averages = {MATH_AVERAGE: (bootstrap(mathematics), len(mathematics))}
    if mathematics and general:
        share = 1 / (1 + len(general))
        weights = [share / len(mathematics)] * len(mathematics) + [share] * len(general)
        averages[OVERALL_AVERAGE] = (bootstrap([*mathematics, *general], weights), len(weights))
    scores: list[dict[str, Any]] = [
        {"benchmark": name, "measure": "average", "headline": True}
        | _rounded(average)
        | {"benchmarks": benchmarks}
        for name, (average, benchmarks) in averages.items()
        if average is not None
    ]
    return {score["benchmark"]: score["value"] for score in scores}, scores


def _rounded(mean: Interval) -> dict[str, Any]:
    return {"value": round(mean.value, 6), "low": round(mean.low, 6), "high": round(mean.high, 6)}
