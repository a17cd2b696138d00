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
    cells,
    draw_series,
    new_figure,
    share_chart,
    spread_words,
    whole_axis,
)
from flows.report.read import Line
from flows.text import percent

_FEWEST = 5


def kept_charts(lines: Sequence[Line], scored: pl.DataFrame) -> list[Chart]:
    """Kept share by iteration, and what became of all candidates."""
    if scored.is_empty():
        return []
    labels, runs = [line.label for line in lines], [len(line.runs) for line in lines]
    charts = [
        share_chart(
            "kept",
            "Kept share",
            q.share_by_iteration(scored, pl.col("kept")),
            labels,
            "share of all candidates",
            f"Candidates that the Solver trains on. A small share wastes samples. "
            f"{spread_words(runs, WILSON)}",
        )
    ]
    table = q.fates(scored)
    order = _fates_in_order(table)
    bars = [
        (line, i)
        for line in labels
        for i in table.filter(pl.col("line") == line)["iteration"].unique().sort()
    ]
    names = [f"{line}, {i}" if len(lines) > 1 else f"{i}" for line, i in bars]
    y = Axis(
        "line, iteration" if len(lines) > 1 else "iteration", categories=True, extra={"autorange": "reversed"}
    )
    figure = new_figure(
        Axis("share of all candidates", share=True, range=(0, 1.001), extra={"dtick": 0.25}),
        y,
        200 + 34 * len(bars),
    )
    found = {
        (line, i, fate): share
        for line, i, fate, share in table.select("line", "iteration", "fate", "share").iter_rows()
    }
    for index, fate in enumerate(order):
        figure.add_bar(
            y=names,
            x=[found.get((line, i, fate), 0) for line, i in bars],
            name=fate.replace("_", " "),
            orientation="h",
            hovertemplate="%{x:.1%}<extra>" + fate.replace("_", " ") + "</extra>",
            marker={"color": theme.series_colour(index), "line": {"color": theme.PAPER, "width": 1.5}},
        )
    figure.update_layout(barmode="stack", bargap=0.3)
    caption = (
        "Too easy: nearly all answers agree. Too hard: too few agree. Too few answered: too many samples "
        "without a boxed answer. Bad format: no question could be read."
    )
    rows = [
        [line, i, fate.replace("_", " ").replace(":", ": "), count, percent(share)]
        for line, i, fate, count, share in q.fates(scored, fine=True).iter_rows()
    ]
    headers = ("line", "iteration", "what became of it", "candidates", "share")
    charts.append(Chart("fates", "What became of the candidates", caption, figure, headers, rows))
    return charts


def _fates_in_order(table: pl.DataFrame) -> list[str]:
    known = ["kept", "too_easy", "too_hard", "too_few_answered", "no_answer"]
    there = table["fate"].unique().drop_nulls().sort().to_list()
    return [fate for fate in known if fate in there] + [fate for fate in there if fate not in known]


def label_charts(lines: Sequence[Line], scored: pl.DataFrame) -> list[Chart]:
    """How often the pseudo-labels are true: by iteration, by p_hat, by number of terms."""
    if scored.is_empty() or scored["label_is_right"].null_count() == scored.height:
        return []
    labels, runs = [line.label for line in lines], [len(line.runs) for line in lines]
    kept = scored.filter("kept")
    charts: list[Chart] = []
    by_iteration = q.label_accuracy(kept, q.KEYS)
    if not by_iteration.is_empty():
        charts.append(
            share_chart(
                "labels",
                "Pseudo-label accuracy of kept questions",
                by_iteration,
                labels,
                "labels that are true",
                "Majority answers that are the true answer, of the questions that the Solver trains on and "
                "whose truth can be computed; of others, where a judge was asked, those that it calls right. "
                f"Watched only, never trained on. {spread_words(runs, WILSON)}",
            )
        )
    for line in lines:
        mine = scored.filter(pl.col("line") == line.label)
        samples, delta = line.runs[0].config.answers.samples, line.runs[0].config.filter.delta
        by_p_hat = q.label_accuracy_by_p_hat(mine, samples)
        by_terms = q.label_accuracy(
            mine.filter(pl.col("kept") & pl.col("terms").is_not_null()), ["line", "iteration", "terms"]
        )
        terms = by_terms.filter(pl.col("n") >= _FEWEST)["terms"].to_list()
        head = f"{line.label}: label" if len(lines) > 1 else "Label"
        for column, frame, axis, of in (
            (
                "p_hat",
                by_p_hat,
                Axis("p̂", range=(0, 1.05), extra={"dtick": 0.25}),
                "all questions with a vote",
            ),
            ("terms", by_terms, whole_axis("terms of the question", terms), "kept questions"),
        ):
            frame = frame.filter(pl.col("n") >= _FEWEST)
            if frame.is_empty():
                continue
            series = _iteration_series(frame, column)
            figure = draw_series(series, axis, Axis("labels that are true", share=True, range=SHARE_RANGE))
            if column == "p_hat":
                band = {"fillcolor": theme.BAND, "line_width": 0, "layer": "below"}
                figure.add_vrect(x0=0.5 - delta, x1=0.5 + delta, **band)
            title = f"{head} accuracy by {'p̂' if column == 'p_hat' else 'number of terms'}"
            caption = (
                f"Of {of}; points with fewer than {_FEWEST} questions are left out. Bars: {WILSON}. "
                + (
                    "The shaded part is kept; a vote that is trusted should be right more often the "
                    "larger p̂ is."
                    if column == "p_hat"
                    else "Longer questions are harder: expect the curve to fall."
                )
            )
            rows = cells(series, True)
            headers = ("iteration", "p̂" if column == "p_hat" else "terms", "value", "low", "high")
            charts.append(Chart(f"labels-{len(charts)}", title, caption, figure, headers, rows))
    return charts


def _iteration_series(frame: pl.DataFrame, column: str) -> list[Series]:
    last = int(frame["iteration"].max())  # type: ignore[arg-type]
    series = []
    for index, iteration in enumerate(sorted(frame["iteration"].unique().to_list())):
        part = frame.filter(pl.col("iteration") == iteration).sort(column)
        series.append(
            Series(
                f"iteration {iteration}",
                part[column].to_list(),
                part["value"].to_list(),
                part["low"].to_list(),
                part["high"].to_list(),
                [
                    f"{column.replace('p_hat', 'p̂')} {x:g}, {n} questions"
                    for x, n in part.select(column, "n").iter_rows()
                ],
                colour=theme.iteration_colour(iteration, last),
                symbol=theme.SYMBOLS[index % len(theme.SYMBOLS)],
            )
        )
    return series
