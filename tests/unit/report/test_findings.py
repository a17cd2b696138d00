"""The report's words of care follow from the figures."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

from data.config import RunConfig
from flows.report.findings import cautions
from flows.report.read import Line, collect, lines_of, read_runs
from infra.store.store import Store

Fabricate = Callable[..., RunConfig]


@pytest.fixture
def lines(store: Store, fabricate: Fabricate) -> list[Line]:
    fabricate(store, iterations=1)
    return lines_of(read_runs(store, ["made"]))


def told(lines: list[Line], evaluation: pl.DataFrame, scored: pl.DataFrame | None = None) -> str:
    probe = collect(lines, "train_challenger", "probe")
    return " ".join(cautions(lines, evaluation, probe, pl.DataFrame() if scored is None else scored))


def graded(lines: list[Line], sampled: tuple[bool, bool], greedy: tuple[bool, bool]) -> pl.DataFrame:
    """An evaluation in which all problems go as said: before and after."""
    right = (
        pl.when(pl.col("iteration") == 0)
        .then(pl.when(pl.col("mode") == "sampled").then(pl.lit(sampled[0])).otherwise(pl.lit(greedy[0])))
        .otherwise(pl.when(pl.col("mode") == "sampled").then(pl.lit(sampled[1])).otherwise(pl.lit(greedy[1])))
    )
    return collect(lines, "evaluate").with_columns(right.alias("correct"), right.alias("majority_correct"))


def test_a_gain_without_a_greedy_gain_is_called_indistinguishable_from_sharpening(lines: list[Line]) -> None:
    assert "sharpening" in told(lines, graded(lines, (False, True), (True, True)))
    assert "sharpening" not in told(lines, graded(lines, (False, True), (False, True)))


def test_a_fall_is_named(lines: list[Line]) -> None:
    found = told(lines, graded(lines, (True, False), (True, False)))
    for name in ("pass@1", "The majority's", "Greedy"):
        assert f"{name} accuracy fell by 100.0 points." in found
    assert "fell" not in told(lines, graded(lines, (False, True), (False, True)))


def test_an_accuracy_that_stays_is_not_called_a_gain(lines: list[Line]) -> None:
    assert "pass@1 did not clearly rise" in told(lines, graded(lines, (True, True), (True, True)))


def test_low_labels_format_and_range_are_named_with_their_iteration(lines: list[Line]) -> None:
    scored = collect(lines, "score_and_filter")
    bad = scored.with_columns(label_is_right=pl.lit(False), in_range=pl.lit(False))
    found = told(lines, graded(lines, (False, True), (False, True)), bad)
    assert "Pseudo-labels that are true: only 0.0\u00a0% in iteration 1." in found
    assert "Questions within the base's domain: only 0.0\u00a0% in iteration 1." in found
    good = scored.with_columns(label_is_right=pl.lit(True), in_range=pl.lit(True), kept=pl.lit(True))
    assert "only" not in told(lines, graded(lines, (False, True), (False, True)), good)


def test_a_training_that_raises_the_uncertainty_is_not_doubted(lines: list[Line]) -> None:
    scored = collect(lines, "score_and_filter")
    evaluation = graded(lines, (False, True), (False, True))
    assert "did not clearly rise" not in told(lines, evaluation, scored.with_columns(uncertainty=pl.lit(1.0)))
    assert "did not clearly rise" in told(lines, evaluation, scored.with_columns(uncertainty=pl.lit(0.1)))
