"""Each stage's plot is drawn from its tables; where there is nothing to draw, nothing fails."""

from __future__ import annotations

import base64
import sys
from typing import Any

import polars as pl
import pytest

from data.schemas import SCHEMAS
from tasks.publish.plots import draw_stage, image
from tasks.stage.graph import STAGES

TABLES: dict[str, dict[str, list[Any]]] = {
    "train_challenger": {"step": [1, 2], "reward_mean": [0.25, 0.5]},
    "generate_questions": {"reason": [None, "no_box", None]},
    "sample_answers": {"tokens": [4, 5, 9], "finish_reason": ["stop", "stop", "length"]},
    "score_and_filter": {"majority_answer": ["4", None], "kept": [True, False], "p_hat": [0.5, 0.0]},
    "train_solver": {"step": [1], "reward_mean": [0.0]},
    "sample_evaluation": {"tokens": [4], "finish_reason": ["length"]},
    "evaluate": {"benchmark": ["a", "a"], "mode": ["sampled", "greedy"], "correct": [True, False]},
}
MAIN = {name: "metrics" if row.kind == "model" else row.kind for name, row in STAGES.items()}


def _table(stage: str) -> pl.DataFrame:
    empty = pl.from_arrow(SCHEMAS[MAIN[stage]].empty_table())
    assert isinstance(empty, pl.DataFrame)
    columns = list(TABLES[stage])
    return pl.DataFrame(TABLES[stage], schema={name: empty.schema[name] for name in columns})


@pytest.mark.parametrize("stage", TABLES)
def test_a_stage_is_drawn_as_a_png(stage: str) -> None:
    drawn = draw_stage(stage, lambda side_table: _table(stage))
    assert drawn is not None
    head, _, content = image(*drawn).partition(";base64,")
    assert head == f"![{drawn[1]}](data:image/png"
    png = base64.b64decode(content.partition(")")[0], validate=True)
    assert png.startswith(b"\x89PNG")


@pytest.mark.parametrize("stage", TABLES)
def test_an_empty_table_has_no_plot(stage: str) -> None:
    assert draw_stage(stage, lambda side_table: _table(stage).clear()) is None


def test_the_bars_are_the_numbers_of_the_table() -> None:
    drawn = draw_stage("generate_questions", lambda side_table: _table("generate_questions"))
    assert drawn is not None
    (axes,) = drawn[0].axes
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert dict(zip(labels, [bar.get_width() for bar in axes.patches], strict=True)) == {
        "no_box": 1,
        "well formed": 2,
    }


def test_without_matplotlib_there_is_no_plot_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert draw_stage("evaluate", lambda side_table: _table("evaluate")) is None


def test_a_stage_without_tables_has_no_plot() -> None:
    assert draw_stage("prepare_base_model", lambda side_table: pl.DataFrame()) is None
