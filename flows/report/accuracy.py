"""Accuracy of the Solvers with its noise: pure functions of the `evaluation` table."""

from __future__ import annotations

import polars as pl

from tasks.grading.scores import Interval, bootstrap

KEYS = ["line", "run", "iteration"]
MEASURES = ("greedy", "pass@1", "maj@k")
COLUMNS = ("benchmark", "problem_id", "group", "mode", "sample", "tokens", "correct", "majority_correct")


def problem_scores(evaluation: pl.DataFrame) -> pl.DataFrame:
    """One row per problem and measure: KEYS (if there), benchmark, problem_id, group, measure, score.

    A score is 0 to 1: pass@1 is the mean over the problem's samples; maj@k and greedy are 0 or 1.
    """
    keys = [*(name for name in KEYS if name in evaluation.columns), "benchmark", "problem_id", "group"]
    correct, of_majority = (pl.col(name).cast(pl.Float64) for name in ("correct", "majority_correct"))
    measures = (
        ("pass@1", "sampled", correct.mean()),
        ("maj@k", "sampled", of_majority.first()),
        ("greedy", "greedy", correct.first()),
    )
    parts = [
        evaluation.filter(pl.col("mode") == mode)
        .group_by(keys)
        .agg(pl.lit(measure).alias("measure"), score.alias("score"))
        for measure, mode, score in measures
    ]
    return pl.concat(parts).sort("measure", "benchmark", "problem_id")


def mean_accuracy(scores: pl.DataFrame) -> Interval | None:
    """Mean over benchmarks of the mean over problems, for one measure; None if there are no rows.

    The interval is a percentile bootstrap over problems within each benchmark: how far the mean would move
    with other problems of the same kind. Every call draws the same resamples.
    """
    parts = [
        part["score"].to_numpy()
        for _, part in scores.sort("benchmark", "problem_id").group_by("benchmark", maintain_order=True)
    ]
    return bootstrap(parts)


def gain(before: pl.DataFrame, after: pl.DataFrame) -> Interval | None:
    """Difference of two accuracies on the same problems, the problems resampled in pairs."""
    paired = after.join(before, on=["benchmark", "problem_id"], how="inner", suffix="_before")
    return mean_accuracy(paired.with_columns(score=pl.col("score") - pl.col("score_before")))


def accuracy_by_iteration(evaluation: pl.DataFrame) -> pl.DataFrame:
    """line, run, iteration, measure, value, low, high: one row for each that was measured."""
    names = [*KEYS, "measure"]
    rows = [
        (*key, found.value, found.low, found.high)
        for key, scores in problem_scores(evaluation).group_by(names)
        if (found := mean_accuracy(scores))
    ]
    return pl.DataFrame(rows, [*names, "value", "low", "high"], orient="row").sort(names)


def accuracy_by_sample(evaluation: pl.DataFrame) -> pl.DataFrame:
    """line, run, iteration, sample, value: accuracy with the i-th sample of every problem alone.

    Their spread shows how far chance moves an accuracy measured with one sample per problem.
    """
    keys = [*KEYS, "sample"]
    return (
        evaluation.filter(pl.col("mode") == "sampled")
        .group_by([*keys, "benchmark"])
        .agg(pl.col("correct").cast(pl.Float64).mean())
        .group_by(keys)
        .agg(pl.col("correct").mean().alias("value"))
        .sort(keys)
    )


def length_by_iteration(evaluation: pl.DataFrame) -> pl.DataFrame:
    """line, run, iteration, mode, value, low, high: mean tokens of an answer, and its quartiles.

    Means over benchmarks, as accuracies are, so that a large one does not hide the others.
    """
    tokens = pl.col("tokens").cast(pl.Float64)
    figures = {"value": tokens.mean(), "low": tokens.quantile(0.25), "high": tokens.quantile(0.75)}
    keys = [*KEYS, "mode"]
    of_benchmarks = evaluation.group_by(*keys, "benchmark").agg(**figures)
    return of_benchmarks.group_by(keys).agg(pl.col(*figures).mean()).sort(keys)


def accuracy_by_group(evaluation: pl.DataFrame) -> pl.DataFrame:
    """line, run, iteration, measure, benchmark, group, value, problems."""
    return (
        problem_scores(evaluation)
        .group_by(*KEYS, "measure", "benchmark", "group")
        .agg(pl.col("score").mean().alias("value"), pl.len().alias("problems"))
        .sort("benchmark", "group", "measure", *KEYS)
    )


def sample_count(evaluation: pl.DataFrame) -> list[int]:
    """The numbers of samples per problem that occur: [10] for maj@10."""
    sampled = evaluation.filter(pl.col("mode") == "sampled")
    counts = sampled.group_by("run").agg(pl.col("sample").n_unique())["sample"]
    return sorted(set(counts.to_list()))


def measure_names(evaluation: pl.DataFrame) -> dict[str, str]:
    """Each measure as a person reads it: `maj@10` where every run draws ten samples."""
    counts = sample_count(evaluation)
    return {name: name for name in MEASURES} | {"maj@k": f"maj@{counts[0]}" if len(counts) == 1 else "maj@k"}
