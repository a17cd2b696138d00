"""What a run has come to, in words and rows."""

from __future__ import annotations

from typing import Any

from flows.experiment_table import shown_rows
from flows.summary import gain_line


def _row(iteration: int, accuracy: float | None, greedy: float | None = None) -> dict[str, Any]:
    return {"iteration": iteration, "pass@1": accuracy, "maj@10": accuracy, "greedy": greedy, "seconds": 1.0}


def test_the_gain_is_told_in_points_from_the_base_to_the_last_measured_iteration() -> None:
    line = gain_line([_row(0, 0.4, 0.9), _row(1, 0.5, 0.9), _row(2, 0.65, 0.85), _row(3, None)])
    assert line == (
        "From the base to iteration 2: pass@1 0.400 → 0.650 (+25.0 points), "
        "maj@10 0.400 → 0.650 (+25.0 points), greedy 0.900 → 0.850 (-5.0 points)"
    )


def test_there_is_no_gain_before_an_iteration_is_measured_and_none_of_what_was_not_measured() -> None:
    assert gain_line([_row(0, 0.4), _row(1, None)]) is None
    assert "greedy" not in str(gain_line([_row(0, 0.4), _row(1, 0.5)]))


def test_a_figure_over_seeds_shows_its_spread_only_where_there_is_one() -> None:
    rows = [{"variant": "main", "pass@1": {"mean": 0.5, "low": 0.45, "high": 0.55}, "terms": None}]
    assert shown_rows(rows)[0]["pass@1"] == ".500 (.450-.550)"
    assert shown_rows([{"terms": {"mean": 12.25, "low": 12.25, "high": 12.25}}])[0]["terms"] == "12.2"
