"""What the Challenger writes and what becomes of it: pure functions of the `probe` and `scored` tables.

Every frame has the columns `line`, `run` and `iteration`. `probe` holds questions of the Challenger that an
iteration begins with, `scored` those of the Challenger that it has trained.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from flows.report.accuracy import KEYS
from tasks.rewards.terms.memory import near_earlier

_TOKEN = re.compile(r"\d+|[^\W\d_]+|[^\w\s]|_")
_WELL_FORMED = pl.col("question").is_not_null()


def written(probe: pl.DataFrame, scored: pl.DataFrame) -> pl.DataFrame:
    """Questions by the number of trainings of the Challenger that wrote them.

    Iteration 0 is the untrained Challenger (the probe of iteration 1), k the one that iteration k trained.
    """
    parts = []
    if not probe.is_empty():
        base = probe.filter(pl.col("iteration") == 1).with_columns(iteration=pl.lit(0, dtype=pl.Int64))
        parts.append(base)
    if not scored.is_empty():
        parts.append(scored)
    return pl.concat(parts, how="diagonal_relaxed") if parts else pl.DataFrame()


def p_hat_shares(frame: pl.DataFrame, samples: int) -> pl.DataFrame:
    """line, iteration, p_hat (1/m, 2/m ... 1), share: of the questions that got an answer, runs pooled."""
    answered = frame.filter(_WELL_FORMED & pl.col("majority_answer").is_not_null())
    bins = (pl.col("p_hat") * samples + 1e-9).round(0).clip(1, samples).cast(pl.Int64)
    counts = answered.group_by("line", "iteration", bins.alias("bin")).agg(pl.len().alias("count"))
    rows = []
    for (line, iteration), part in counts.group_by("line", "iteration"):
        found = dict(zip(part["bin"], part["count"], strict=True))
        total = sum(found.values())
        rows += [(line, iteration, j / samples, found.get(j, 0) / total) for j in range(1, samples + 1)]
    schema = {"line": pl.String, "iteration": pl.Int64, "p_hat": pl.Float64, "share": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("line", "iteration", "p_hat")


def mean_by_iteration(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """line, run, iteration, value, low, high, n: the mean with its 95 % interval (normal approximation)."""
    value = pl.col(column).cast(pl.Float64)
    return (
        frame.group_by(KEYS)
        .agg(value.mean().alias("value"), value.std().alias("std"), value.count().alias("n"))
        .filter(pl.col("n") > 0)
        .with_columns(half=(1.96 * pl.col("std") / pl.col("n").sqrt()).fill_null(0.0))
        .select(
            *KEYS,
            "value",
            (pl.col("value") - pl.col("half")).alias("low"),
            (pl.col("value") + pl.col("half")).alias("high"),
            "n",
        )
        .sort(KEYS)
    )


def share_by_iteration(frame: pl.DataFrame, condition: pl.Expr) -> pl.DataFrame:
    """line, run, iteration, value, low, high, n: share of rows where `condition` is true; null is not."""
    return _shares(frame.with_columns(hit=condition.fill_null(False)), KEYS)


def in_domain_share(frame: pl.DataFrame) -> pl.DataFrame:
    """Share of the well-formed questions that lie in the base's domain; no rows if that is not known.

    A question that cannot be read as one of the domain counts as outside.
    """
    known = frame.filter(_WELL_FORMED)
    if known.is_empty() or known["in_range"].null_count() == known.height:
        return pl.DataFrame()
    return share_by_iteration(known, pl.col("in_range"))


def quantiles_by_iteration(frame: pl.DataFrame, value: pl.Expr) -> pl.DataFrame:
    """line, iteration, n, mean and quantiles p10, p25, p50, p75, p90 of `value`; runs pooled."""
    named = (
        frame.filter(_WELL_FORMED)
        .with_columns(value=value.cast(pl.Float64))
        .filter(pl.col("value").is_not_null())
    )
    quantiles = [pl.col("value").quantile(q / 100, "linear").alias(f"p{q}") for q in (10, 25, 50, 75, 90)]
    return (
        named.group_by("line", "iteration")
        .agg(pl.len().alias("n"), pl.col("value").mean().alias("mean"), *quantiles)
        .sort("line", "iteration")
    )


def fates(scored: pl.DataFrame, fine: bool = False) -> pl.DataFrame:
    """line, iteration, fate ('kept' or why not), count, share: of all candidates, runs pooled.

    'bad_format' stands for all its kinds, unless `fine`.
    """
    why = pl.col("drop_reason") if fine else pl.col("drop_reason").str.split(":").list.first()
    return (
        scored.with_columns(fate=pl.when("kept").then(pl.lit("kept")).otherwise(why))
        .group_by("line", "iteration", "fate")
        .agg(pl.len().alias("count"))
        .with_columns(share=pl.col("count") / pl.col("count").sum().over("line", "iteration"))
        .sort("line", "iteration", "fate")
    )


def with_known_labels(scored: pl.DataFrame) -> pl.DataFrame:
    """`label_is_right`, filled in with the judge's verdict where the truth is not known."""
    if "label_is_right_by_judge" not in scored.columns:
        return scored
    return scored.with_columns(label_is_right=pl.coalesce("label_is_right", "label_is_right_by_judge"))


def label_accuracy(scored: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """`by`, value, low, high, n: share of the majority answers that are true, where both are known."""
    judged = scored.filter(pl.col("label_is_right").is_not_null())
    return _shares(judged.with_columns(hit="label_is_right"), by)


def label_accuracy_by_p_hat(scored: pl.DataFrame, samples: int) -> pl.DataFrame:
    """Label accuracy by iteration and p_hat, rounded to the nearest 1/m; runs pooled."""
    rounded = (pl.col("p_hat") * samples + 1e-9).round(0) / samples
    return label_accuracy(scored.with_columns(p_hat=rounded), ["line", "iteration", "p_hat"])


def diversity(frame: pl.DataFrame) -> pl.DataFrame:
    """line, run, iteration, questions, unique_share, distinct_2, largest_share, alone_share.

    `unique_share` and `distinct_2` fall as more questions are looked at, so both look at equally many: the
    first well-formed ones. distinct_2 is the share of different pairs among all pairs of neighbouring words,
    numbers and signs. `largest_share` is the largest cluster's share of the well-formed questions,
    `alone_share` the share of questions in a cluster of their own.
    """
    rows = []
    groups = list(_by_iteration(frame))
    count = min((part.height for _, part in groups), default=0)
    batch = {tuple(key): count for *key, count in frame.group_by(KEYS).agg(pl.len()).iter_rows()}
    for key, part in groups:
        questions = part["question"].to_list()[:count]
        sizes = (part["cluster_share"] * batch[key]).round(0).to_list()
        tokens = [_TOKEN.findall(question.lower()) for question in questions]
        pairs = Counter(pair for found in tokens for pair in itertools.pairwise(found))
        rows.append(
            (
                *key,
                len(questions),
                len(set(questions)) / len(questions),
                len(pairs) / pairs.total() if pairs else None,
                max(sizes) / part.height,
                sum(size <= 1 for size in sizes) / part.height,
            )
        )
    names = [*KEYS, "questions", "unique_share", "distinct_2", "largest_share", "alone_share"]
    return pl.DataFrame(rows, names, orient="row", infer_schema_length=None) if rows else pl.DataFrame()


def asked_before(scored: pl.DataFrame) -> list[tuple[str, int, float]]:
    """(run, iteration, share of its well-formed questions that nearly repeat one of an earlier iteration)."""
    rows = []
    earlier: dict[str, list[str]] = {}
    for (_, run, iteration), part in _by_iteration(scored):
        questions, before = part["question"].to_list(), earlier.setdefault(run, [])
        if before:
            rows.append((run, iteration, sum(near_earlier(questions, before)) / len(questions)))
        before += questions
    return rows


def _by_iteration(frame: pl.DataFrame) -> Iterator[tuple[tuple[Any, ...], pl.DataFrame]]:
    """The well-formed questions of each iteration of each run, in their order."""
    valid = frame.filter(_WELL_FORMED).sort([*KEYS, "question_id"])
    return iter(valid.group_by(KEYS, maintain_order=True))


def largest_clusters(scored: pl.DataFrame, top: int = 3) -> list[tuple[str, int, int, int, str]]:
    """(run, iteration, size, clusters of that size, a question of one), the `top` sizes of each iteration."""
    rows: list[tuple[str, int, int, int, str]] = []
    for (_, run, iteration), part in _by_iteration(scored.filter(pl.col("cluster_size") > 1)):
        sizes = part.group_by("cluster_size").agg(pl.len(), pl.col("question").first())
        for size, members, example in sizes.sort("cluster_size", descending=True).head(top).iter_rows():
            rows.append((run, iteration, size, max(1, round(members / size)), example))
    return rows


def wilson(hits: pl.Expr, n: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """`low` and `high` of the 95 % Wilson interval of a share."""
    z = 1.96
    centre = (hits / n + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (hits / n * (1 - hits / n) / n + z * z / (4 * n * n)).sqrt()
    return (centre - half).clip(0.0, None).alias("low"), (centre + half).clip(None, 1.0).alias("high")


def _shares(frame: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """`by`, value, low, high, n: the share of rows that have `hit`."""
    hits, n = pl.col("hit").sum().cast(pl.Float64), pl.len().cast(pl.Float64)
    figures = ((hits / n).alias("value"), *wilson(hits, n), pl.len().alias("n"))
    return frame.group_by(by).agg(*figures).sort(by)
