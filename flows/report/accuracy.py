"""Accuracy of the Solvers with its noise: pure functions of the `evaluation` table."""

from __future__ import annotations

import polars as pl

from tasks.grading.scores import Interval, bootstrap

MEASURES = ("pass@1", "maj@k", "greedy")
COLUMNS = ("benchmark", "problem_id", "group", "mode", "sample", "correct", "majority_correct")


def problem_scores(evaluation: pl.DataFrame) -> pl.DataFrame:
    """One row per problem and measure: benchmark, problem_id, group, measure, score (0 to 1).

    pass@1 is the mean over the problem's samples; maj@k and greedy are 0 or 1.
    """
    keys = ["benchmark", "problem_id", "group"]
    sampled = evaluation.filter(pl.col("mode") == "sampled").group_by(keys)
    greedy = evaluation.filter(pl.col("mode") == "greedy").group_by(keys)
    parts = [
        sampled.agg(
            pl.lit("pass@1").alias("measure"), pl.col("correct").cast(pl.Float64).mean().alias("score")
        ),
        sampled.agg(
            pl.lit("maj@k").alias("measure"),
            pl.col("majority_correct").first().cast(pl.Float64).alias("score"),
        ),
        greedy.agg(
            pl.lit("greedy").alias("measure"), pl.col("correct").first().cast(pl.Float64).alias("score")
        ),
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
    rows = []
    keys = ["line", "run", "iteration"]
    for (line, run, iteration), part in evaluation.group_by(keys, maintain_order=True):
        scores = problem_scores(part)
        for measure in MEASURES:
            found = mean_accuracy(scores.filter(pl.col("measure") == measure))
            if found:
                rows.append((line, run, iteration, measure, found.value, found.low, found.high))
    names = ["line", "run", "iteration", "measure", "value", "low", "high"]
    return pl.DataFrame(rows, schema=names, orient="row")


def accuracy_by_sample(evaluation: pl.DataFrame) -> pl.DataFrame:
    """line, run, iteration, sample, value: accuracy with the i-th sample of every problem alone.

    Their spread shows how far chance moves an accuracy measured with one sample per problem.
    """
    keys = ["line", "run", "iteration", "sample"]
    return (
        evaluation.filter(pl.col("mode") == "sampled")
        .group_by([*keys, "benchmark"])
        .agg(pl.col("correct").cast(pl.Float64).mean())
        .group_by(keys)
        .agg(pl.col("correct").mean().alias("value"))
        .sort(keys)
    )


def accuracy_by_group(evaluation: pl.DataFrame) -> pl.DataFrame:
    """line, run, iteration, measure, benchmark, group, value, problems."""
    parts = []
    keys = ["line", "run", "iteration"]
    for names, part in evaluation.group_by(keys, maintain_order=True):
        scores = problem_scores(part).group_by(["measure", "benchmark", "group"])
        found = scores.agg(pl.col("score").mean().alias("value"), pl.len().alias("problems"))
        parts.append(found.select(*(pl.lit(n).alias(k) for k, n in zip(keys, names, strict=True)), pl.all()))
    if not parts:
        return pl.DataFrame()
    return pl.concat(parts).sort("benchmark", "group", "measure", "line", "run", "iteration")


def sample_count(evaluation: pl.DataFrame) -> list[int]:
    """The numbers of samples per problem that occur: [10] for maj@10."""
    sampled = evaluation.filter(pl.col("mode") == "sampled")
    counts = sampled.group_by("run").agg(pl.col("sample").n_unique())["sample"]
    return sorted(set(counts.to_list()))
