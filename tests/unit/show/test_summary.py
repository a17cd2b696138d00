"""What a run has come to, in words and rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.experiment_table import shown_rows
from flows.start import begin
from flows.summary import gain_line, read_steps, status_rows
from infra.artifacts.runs import known_run
from infra.store.store import Store
from tests.unit.report.conftest import make_run


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


def test_a_run_that_is_asked_to_go_further_is_not_finished_before_it_is_there(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    make_run(store, iterations=1)

    def states() -> list[str]:
        return [row["state"] for row in status_rows(read_steps(store, known_run(store, "made")), {})]

    assert set(states()) == {"finished"}
    begin("made", store=store.uri, iterations=2)
    assert set(states()[-7:]) == {"unfinished"}
    # Who names fewer wants these alone now; the run's end stays where it was.
    begin("made", store=store.uri, iterations=1)
    assert known_run(store, "made").iterations == 2
