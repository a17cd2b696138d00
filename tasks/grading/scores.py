"""From graded completions to figures: mean@k, pass@k, maj@k and greedy, each with its 95 % interval.

A value is the mean over a benchmark's problems; an interval says how far it would move with other problems of
the same kind (percentile bootstrap over problems, the samples of a problem kept together).
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
"""Most counts that are held at once."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % interval."""

    value: float
    low: float
    high: float


def bootstrap(
    parts: Sequence[np.ndarray[Any, Any]], weights: Sequence[float] | None = None
) -> Interval | None:
    """Weighted mean of the parts' means (equal weights where none are given); None without a part.

    The interval resamples each part's values; the resamples are the same on each call.
    """
    if not parts:
        return None
    shares = [1 / len(parts)] * len(parts) if weights is None else list(weights)
    generator = np.random.default_rng(0)
    means = np.zeros(RESAMPLES)
    for values, share in zip(parts, shares, strict=True):
        # Equal values are drawn together: the same distribution, and a set of 0 and 1 costs two counts.
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


def interval(values: np.ndarray[Any, Any]) -> Interval:
    """Mean of scores in [0, 1] with its interval.

    Where all are 0 or all 1 a bootstrap knows no spread: there the interval is the exact binomial one.
    """
    found = bootstrap([values])
    assert found is not None
    room = 1 - 0.025 ** (1 / len(values))
    if not values.any():
        return Interval(0.0, 0.0, room)
    if (values == 1).all():
        return Interval(1.0, 1 - room, 1.0)
    return found


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Chance that one of k samples is right, given `correct` of `samples`: the unbiased estimate.

    1 - C(samples - correct, k) / C(samples, k) (Chen et al. 2021, section 2.1).
    """
    if not 1 <= k <= samples:
        raise ValueError(f"k must be 1 to {samples}, not {k}")
    return 1.0 - math.comb(samples - correct, k) / math.comb(samples, k)


def problem_values(rows: pl.DataFrame) -> dict[str, np.ndarray[Any, Any]]:
    """Of one benchmark: for each measure one value a problem, in [0, 1], in the problems' order.

    `mean@k`, `pass@2`, `pass@4` ... `pass@k` and `maj@k` of the samples, and `greedy`.
    """
    found: dict[str, np.ndarray[Any, Any]] = {}
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
        found[f"mean@{k}"] = np.array(right) / k
        sizes = [size for size in (2**power for power in range(1, k.bit_length())) if size < k]
        for size in [*sizes, k] if k > 1 else []:
            found[f"pass@{size}"] = np.array([pass_at_k(k, count, size) for count in right])
        if k > 1:
            found[f"maj@{k}"] = sampled["majority_correct"].cast(pl.Float64).to_numpy()
    greedy = grouped.filter(pl.col("mode") == "greedy")
    if not greedy.is_empty():
        found["greedy"] = greedy["right"].cast(pl.Float64).to_numpy()
    return found


def evaluation_figures(
    rows: pl.DataFrame, areas: Mapping[str, str], headlines: Mapping[str, str]
) -> dict[str, Any]:
    """The figures of an evaluation from its rows (COLUMNS): averages, and `scores`, one entry a measure.

    `areas` and `headlines` say of each benchmark which average it belongs to and which mode enters it. The
    averages are the paper's: `math_average` over the mathematics benchmarks, `overall_average` of that one
    figure and each general benchmark. `pass@1`, `maj@k` and `greedy` are means over the benchmarks that
    have them.
    """
    values = {
        str(name): problem_values(part) for (name,), part in rows.sort("benchmark").group_by(
            "benchmark", maintain_order=True
        )
    }  # fmt: skip
    scores: list[dict[str, Any]] = []
    heads: dict[str, np.ndarray[Any, Any]] = {}
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


def _means(values: Mapping[str, Mapping[str, np.ndarray[Any, Any]]]) -> dict[str, float]:
    """pass@1 (the mean of the k samples), maj@k and greedy, averaged over benchmarks."""
    found: dict[str, list[float]] = {}
    ks = {measure for measures in values.values() for measure in measures if measure.startswith("maj@")}
    for measures in values.values():
        for measure, each in measures.items():
            if measure.startswith("mean@"):
                name = "pass@1"
            elif measure.startswith("maj@"):
                name = measure if len(ks) == 1 else "maj@k"
            elif measure == "greedy":
                name = measure
            else:
                continue
            found.setdefault(name, []).append(float(each.mean()))
    return {name: round(sum(each) / len(each), 6) for name, each in found.items()}


def _averages(
    heads: Mapping[str, np.ndarray[Any, Any]], areas: Mapping[str, str]
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    mathematics = [each for name, each in heads.items() if areas[name] == "math"]
    general = [each for name, each in heads.items() if areas[name] == "general"]
    figures: dict[str, float] = {}
    scores = []
    found = {}
    if mathematics:
        found[MATH_AVERAGE] = (bootstrap(mathematics), len(mathematics))
    if mathematics and general:
        share = 1 / (1 + len(general))
        weights = [share / len(mathematics)] * len(mathematics) + [share] * len(general)
        found[OVERALL_AVERAGE] = (bootstrap([*mathematics, *general], weights), len(weights))
    for name, (average, benchmarks) in found.items():
        assert average is not None
        figures[name] = round(average.value, 6)
        scores.append(
            {"benchmark": name, "measure": "average", "headline": True}
            | _rounded(average)
            | {"benchmarks": benchmarks}
        )
    return figures, scores


def _rounded(found: Interval) -> dict[str, float]:
    return {"value": round(found.value, 6), "low": round(found.low, 6), "high": round(found.high, 6)}
