"""The same problems before and after, how long the answers to them are, and in which ways they work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from data.config import RunConfig
from flows.report import accuracy as acc
from flows.report.answers import before_and_after, habits_shown
from flows.report.questions import share_by_iteration
from flows.report.read import Run, lines_of, read_runs
from flows.report.story import report_html
from infra.store.store import Store


def _run(store: Store, fabricate: Callable[..., RunConfig], **said: Any) -> Run:
    fabricate(store, "made", **said)
    (run,) = read_runs(store, ["made"])
    return run


def _with_grades(monkeypatch: pytest.MonkeyPatch, right: Callable[[int, int], bool]) -> None:
    """Let the greedy answer to a problem be right in an iteration where `right` says so."""
    read = Run.table

    def table(self: Run, iteration: int, stage: str, *others: Any, **named: Any) -> pl.DataFrame | None:
        frame = read(self, iteration, stage, *others, **named)
        if stage != "evaluate" or frame is None:
            return frame
        graded = [right(iteration, problem) for problem in frame["problem_id"]]
        return frame.with_columns(correct=pl.Series(graded))

    monkeypatch.setattr(Run, "table", table)


def test_problems_are_counted_by_what_became_of_them_and_some_of_each_are_shown(
    store: Store, fabricate: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    # 0 to 3 are lost, 4 to 15 learnt, 16 to 19 always right, 20 to 23 never.
    _with_grades(monkeypatch, lambda iteration, n: 16 <= n < 20 or (n < 4 if iteration == 0 else 4 <= n < 16))
    found = before_and_after(_run(store, fabricate))
    assert found is not None
    assert found["last"] == 2
    assert found["counts"] == {"learnt": 12, "lost": 4, "never right": 4}
    assert [row["outcome"] for row in found["rows"]] == ["learnt"] * 3 + ["lost", "never right"]
    assert found["rows"][0]["before"] == ("written in iteration 0", 3, False)
    assert found["rows"][0]["after"] == ("written in iteration 2", 3, True)
    assert found["rows"][3]["before"][2] is True
    assert found["rows"][0]["gold"] == "21"


def test_nothing_is_shown_where_nothing_changed_or_only_the_base_model_is_measured(
    store: Store, local_store: Store, fabricate: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_grades(monkeypatch, lambda iteration, problem: True)
    assert before_and_after(_run(store, fabricate)) is None
    assert before_and_after(_run(local_store, fabricate, stop_before=(1, "evaluate"))) is None


def test_the_page_shows_both_answers_and_escapes_them(
    store: Store, fabricate: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_grades(monkeypatch, lambda iteration, problem: iteration > 0)
    page = report_html(store, [_run(store, fabricate, hostile=True)])
    assert "Learnt: 24; Lost: 0; Never right: 0 problems" in page
    assert page.count("✗ wrong") == page.count("✓ right") == 3
    assert "<script>alert(1)" not in page


def test_the_length_of_answers_is_a_mean_over_benchmarks_with_quartiles() -> None:
    tokens = {"small": [10, 20], "large": [100] * 8}
    rows = [
        {"line": "a", "run": "a", "iteration": 0, "mode": "greedy", "benchmark": name, "tokens": count}
        for name, counts in tokens.items()
        for count in counts
    ]
    (row,) = acc.length_by_iteration(pl.DataFrame(rows)).to_dicts()
    assert row["value"] == pytest.approx((15 + 100) / 2)
    assert row["low"] < row["value"] < row["high"]


def test_ways_of_working_are_counted_in_sampled_answers_by_iteration(
    store: Store, fabricate: Callable[..., RunConfig]
) -> None:
    shown = habits_shown(lines_of([_run(store, fabricate)]))
    for habit, shares in (
        ("steps in parts, where needed", [0.0, 3 / 24, 6 / 24]),
        ("steps in parts, elsewhere", [1.0, 1.0, 1.0]),
    ):
        found = share_by_iteration(shown.filter(pl.col("habit") == habit), pl.col("shown"))
        assert found.sort("iteration")["value"].to_list() == pytest.approx(shares)
        assert found["n"].to_list() == [24] * 3


def test_a_domain_that_names_no_way_of_working_shows_none(
    store: Store, fabricate: Callable[..., RunConfig]
) -> None:
    assert habits_shown(lines_of([_run(store, fabricate, overrides=["domain=mathematics"])])).is_empty()
