"""Charts of what is kept of the questions and of how good their pseudo-labels are."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from flows.report import questions as q
from flows.report import theme
from flows.report.charts import (
    SHARE_RANGE,
    WILSON,
    Axis,
    Chart,
    Series,
    series_chart,
    share_chart,
    spread_words,
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
    kept = share_chart(
        "kept",
        "Kept share",
        q.share_by_iteration(scored, pl.col("kept")),
        lines,
        "share of all candidates",
        "Candidates that the Solver trains on. A small share wastes samples. " + spread_words(lines, WILSON),
    )
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
    caption = (
        "Too easy: nearly all answers agree. Too hard: too few agree. Too few answered: too many samples "
        "without a boxed answer. Bad format: no question could be read."
    )
    rows = [
        [line, i, fate.replace("_", " ").replace(":", ": "), count, percent(share)]
        for line, i, fate, count, share in q.fates(scored, fine=True).iter_rows()
    ]
    headers = ("line", "iteration", "what became of it", "candidates", "share")
    return Chart("fates", "What became of the candidates", caption, figure, headers, rows)


def label_charts(lines: Sequence[Line], scored: pl.DataFrame) -> list[Chart]:
    """How often the pseudo-labels are true: by iteration, by p_hat, by number of terms."""
    if scored.is_empty() or scored["label_is_right"].null_count() == scored.height:
        return []
    charts: list[Chart] = []
    by_iteration = q.label_accuracy(scored.filter("kept"), q.KEYS)
    if not by_iteration.is_empty():
        charts.append(
            share_chart(
                "labels",
                "Pseudo-label accuracy of kept questions",
                by_iteration,
                lines,
                "labels that are true",
                "Majority answers that are the true answer, of the questions that the Solver trains on and "
                "whose truth can be computed; of others, where a judge was asked, those that it calls right. "
                f"Watched only, never trained on. {spread_words(lines, WILSON)}",
            )
        )
    for line in lines:
        mine = of_line(scored, line)
        head = f"{line.label}: label" if len(lines) > 1 else "Label"
        by_p_hat = q.label_accuracy_by_p_hat(mine, line.runs[0].config.answers.samples)
        by_p_hat = by_p_hat.filter(pl.col("n") >= _FEWEST)
        if not by_p_hat.is_empty():
            delta = line.runs[0].config.filter.delta
            chart = _accuracy_chart(
                f"labels-{len(charts)}",
                f"{head} accuracy by p̂",
                by_p_hat,
                "p̂",
                Axis("p̂", range=(0, 1.05), extra={"dtick": 0.25}),
                "all questions with a vote",
                "The shaded part is kept; a vote that is trusted should be right more often the larger p̂ is.",
            )
            band = {"fillcolor": theme.BAND, "line_width": 0, "layer": "below"}
            chart.figure.add_vrect(x0=0.5 - delta, x1=0.5 + delta, **band)
            charts.append(chart)
        kept = mine.filter(pl.col("kept") & pl.col("terms").is_not_null())
        by_terms = q.label_accuracy(kept, ["line", "iteration", "terms"]).filter(pl.col("n") >= _FEWEST)
        if not by_terms.is_empty():
            charts.append(
                _accuracy_chart(
                    f"labels-{len(charts)}",
                    f"{head} accuracy by number of terms",
                    by_terms,
                    "terms",
                    whole_axis("terms of the question", by_terms["terms"].to_list()),
                    "kept questions",
                    "Longer questions are harder: expect the curve to fall.",
                )
            )
    return charts


def _accuracy_chart(
    key: str, title: str, frame: pl.DataFrame, name: str, x: Axis, of: str, meaning: str
) -> Chart:
    """Label accuracy over the third column of `frame`, one series an iteration."""
    column = frame.columns[2]
    last = int(frame["iteration"].max())  # type: ignore[arg-type]
    series = []
    for index, iteration in enumerate(frame["iteration"].unique().sort().to_list()):
        part = frame.filter(pl.col("iteration") == iteration).sort(column)
        hover = [f"{name} {at:g}, {n} questions" for at, n in part.select(column, "n").iter_rows()]
        colour = theme.iteration_colour(iteration, last)
        label = f"iteration {iteration}"
        series.append(Series.of(label, part, column, index, hover=hover, colour=colour, dash="solid"))
    caption = f"Of {of}; points with fewer than {_FEWEST} questions are left out. Bars: {WILSON}. {meaning}"
    y = Axis("labels that are true", share=True, range=SHARE_RANGE)
    return series_chart(key, title, caption, series, x, y, ("iteration", name, "value", "low", "high"))
