"""Charts of what is kept of the questions and of how good their pseudo-labels are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from flows.report import questions as q
from flows.report import theme
from flows.report.charts import (
    WILSON,
    Axis,
    Chart,
    Series,
    series_chart,
    shade_kept,
    share_chart,
    stacked_bars,
    whole_axis,
)
from flows.report.read import Line, of_line
from flows.text import percent

_FEWEST = 5
_FATES = ("kept", "too_easy", "too_hard", "too_few_answered", "no_answer")


def kept_charts(lines: Sequence[Line], scored: pl.DataFrame) -> list[Chart]:
    """Kept share by iteration, and what became of all candidates."""
    if scored.is_empty():
        return []
    kept = share_chart("kept", q.share_by_iteration(scored, pl.col("kept")), lines)
    return [kept, _fates_chart(lines, scored)]


def _fates_chart(lines: Sequence[Line], scored: pl.DataFrame) -> Chart:
    several = len(lines) > 1
    table = q.fates(scored)
    there = table["fate"].unique().drop_nulls().sort().to_list()
    fates = [fate for fate in _FATES if fate in there] + [fate for fate in there if fate not in _FATES]
    bars = [
        (line.label, i) for line in lines for i in of_line(table, line)["iteration"].unique().sort().to_list()
    ]
    shares = {
        (line, i, fate): share
        for line, i, fate, share in table.select("line", "iteration", "fate", "share").iter_rows()
    }
    figure = stacked_bars(
        [f"{line}, {i}" if several else f"{i}" for line, i in bars],
        {fate.replace("_", " "): [shares.get((*bar, fate), 0) for bar in bars] for fate in fates},
        Axis("share of all candidates", share=True, range=(0, 1.001), extra={"dtick": 0.25}),
        "line, iteration" if several else "iteration",
        200,
        "%{x:.1%}",
    )
    rows = [
        [line, i, fate.replace("_", " ").replace(":", ": "), count, percent(share)]
        for line, i, fate, count, share in q.fates(scored, fine=True).iter_rows()
    ]
    headers = ("line", "iteration", "what became of it", "candidates", "share")
    return Chart.of("fates", figure, headers, rows)


def label_charts(lines: Sequence[Line], scored: pl.DataFrame) -> list[Chart]:
    """How often the pseudo-labels are true: by iteration, by p_hat, by number of terms."""
    if scored.is_empty() or scored["label_is_right"].null_count() == scored.height:
        return []
    charts: list[Chart] = []
    by_iteration = q.label_accuracy(scored.filter("kept"), q.KEYS)
    if not by_iteration.is_empty():
        charts.append(share_chart("labels", by_iteration, lines))
    for line in lines:
        mine = of_line(scored, line)
        head = f"{line.label}: label" if len(lines) > 1 else "Label"
        by_p_hat = _enough(q.label_accuracy_by_p_hat(mine, line.runs[0].config.answers.samples))
        if not by_p_hat.is_empty():
            x = Axis("p̂", range=(0, 1.05), extra={"dtick": 0.25})
            key = f"labels-{len(charts)}"
            chart = _accuracy_chart("labels-by-p-hat", by_p_hat, x, "p̂", key=key, head=head)
            shade_kept(chart.figure, line)
            charts.append(chart)
        known = mine.filter(pl.col("kept") & pl.col("terms").is_not_null())
        by_terms = _enough(q.label_accuracy(known, ["line", "iteration", "terms"]))
        if not by_terms.is_empty():
            x = whole_axis("terms of the question", by_terms["terms"].to_list())
            key = f"labels-{len(charts)}"
            charts.append(_accuracy_chart("labels-by-terms", by_terms, x, "terms", key=key, head=head))
    return charts


def _enough(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("n") >= _FEWEST)


def _accuracy_chart(name: str, frame: pl.DataFrame, x: Axis, unit: str, **values: Any) -> Chart:
    """Label accuracy over the third column of `frame`, one series an iteration."""
    column = frame.columns[2]
    last = int(frame["iteration"].max())  # type: ignore[arg-type]
    series = []
    for index, iteration in enumerate(frame["iteration"].unique().sort().to_list()):
        part = frame.filter(pl.col("iteration") == iteration).sort(column)
        hover = [f"{unit} {at:g}, {n} questions" for at, n in part.select(column, "n").iter_rows()]
        colour = theme.iteration_colour(iteration, last)
        label = f"iteration {iteration}"
        series.append(Series.of(label, part, column, index, hover=hover, colour=colour, dash="solid"))
    headers = ("iteration", unit, "value", "low", "high")
    return series_chart(name, series, x, headers, fewest=_FEWEST, spread=f"Bars: {WILSON}.", **values)
