"""The notebook of docs/ runs from its first cell to its last over a finished run."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import matplotlib
import polars as pl
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs/notebooks/run.ipynb"
CELLS = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]


def shown(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line, which a notebook shows, or None where that is a statement."""
    lines = ast.parse(source).body
    last = lines.pop() if isinstance(lines[-1], ast.Expr) else None
    exec(compile(ast.Module(lines, []), str(NOTEBOOK), "exec"), names)
    return eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names) if last else None


def test_the_notebook_shows_tables_and_plots_of_a_finished_run(
    small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matplotlib.use("agg")
    from matplotlib import pyplot

    monkeypatch.setenv("RUN", "small")
    monkeypatch.setenv("RZERO_STORE", str(small_store))
    names: dict[str, Any] = {}
    try:
        values = [shown("".join(cell["source"]), names) for cell in CELLS]
        figures = [pyplot.figure(number) for number in pyplot.get_fignums()]
        assert len(figures) == 3
        assert all(axes.has_data() for figure in figures for axes in figure.axes)
    finally:
        pyplot.close("all")
    tables = [value for value in values if isinstance(value, pl.DataFrame)]
    assert len(tables) == 3
    assert all(table.height > 0 for table in tables)
    assert set(names["accuracy"]["iteration"]) == {0, 1}


def test_the_notebook_is_committed_as_it_was_written() -> None:
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in CELLS)
    # An absolute path would be one of the machine that it was written on.
    assert not re.search(r"""["' ]/\w""", NOTEBOOK.read_text())
