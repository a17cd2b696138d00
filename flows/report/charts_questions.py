"""Charts of the questions: before and after training, what is kept, how good the labels are, how varied."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from flows.report import questions as q
from flows.report import theme
from flows.report.charts import (
    LINE_HEADERS,
    SHARE_RANGE,
    WILSON,
    Axis,
    Chart,
    cells,
    draw_series,
    line_series,
    new_figure,
    share_chart,
    spread_words,
    whole_axis,
)
from flows.report.read import Line
from flows.text import number, percent

_NORMAL = "95\u00a0% interval of the mean"
_TRAININGS = "trainings of the Challenger"


def p_hat_charts(lines: Sequence[Line], probe: pl.DataFrame, scored: pl.DataFrame) -> list[Chart]:
    """p_hat before and after the Challenger's training, one chart an iteration of each line."""
    charts: list[Chart] = []
    for line in lines:
        samples = line.runs[0].config.answers.samples
        delta = line.runs[0].config.filter.delta
        before = _of_line(q.p_hat_shares(probe, samples) if not probe.is_empty() else probe, line)
        after = _of_line(q.p_hat_shares(scored, samples) if not scored.is_empty() else scored, line)
        both = [frame for frame in (before, after) if not frame.is_empty()]
        if not both:
            continue
        highest = max(share for frame in both for share in frame["share"])
        for iteration in sorted({i for frame in both for i in frame["iteration"]}):
            x = Axis(
                "p̂: votes of the majority / answers", range=(0, 1 + 0.6 / samples), extra={"dtick": 0.25}
            )
            y = Axis("share of the questions", share=True, range=(0, highest * 1.08))
            figure = new_figure(x, y)
            figure.add_vrect(
                x0=0.5 - delta, x1=0.5 + delta, fillcolor=theme.BAND, line_width=0, layer="below"
            )
            rows: list[list[object]] = []
            for name, frame, colour, pattern in (
                ("before", before, theme.BASE, "/"),
                ("after", after, theme.series_colour(0), ""),
            ):
                part = frame.filter(pl.col("iteration") == iteration) if not frame.is_empty() else frame
                if part.is_empty():
                    continue
                figure.add_bar(
                    x=part["p_hat"].to_list(),
                    y=part["share"].to_list(),
                    name=name,
                    marker={
                        "color": theme.PAPER if pattern else colour,
                        "pattern": {"shape": pattern, "solidity": 0.4, "size": 6, "fgcolor": colour},
                        "line": {"color": colour, "width": 1},
                    },
                    hovertemplate="p̂ %{x:.2f}: %{y:.1%}<extra>" + name + "</extra>",
                )
                rows += [[name, f"{p:.2f}", percent(s)] for p, s in part.select("p_hat", "share").iter_rows()]
            figure.update_layout(barmode="group", bargap=0.18, bargroupgap=0.04)
            who = f"{line.label}, iteration {iteration}" if len(lines) > 1 else f"Iteration {iteration}"
            caption = (
                "The same Solver answers both. Training should move questions into the shaded middle, "
                "which the filter keeps: from the right, where answers agree, or from the left, where "
                "they scatter."
            )
            key = f"p-hat-{len(charts)}"
            title, headers = f"{who}: p̂ before and after", ("", "p̂", "share")
            charts.append(Chart(key, title, caption, figure, headers, rows))
    return charts


def reward_charts(lines: Sequence[Line], probe: pl.DataFrame, scored: pl.DataFrame) -> list[Chart]:
    """Uncertainty and reward of fresh questions, before and after each training."""
    charts: list[Chart] = []
    for column, title, what in (
        ("uncertainty", "Uncertainty before and after training", "1 − 2|p̂ − ½| of fresh questions"),
        ("reward", "Reward before and after training", "uncertainty less the repetition penalty"),
    ):
        series = []
        for moment, frame in (("before", probe), ("after", scored)):
            if frame.is_empty():
                continue
            found = q.mean_by_iteration(frame, column)
            for item in line_series(found, [line.label for line in lines]):
                item.dash, item.symbol = ("dot", "circle-open") if moment == "before" else ("solid", "circle")
                if len(lines) == 1:
                    item.colour = theme.BASE if moment == "before" else theme.series_colour(0)
                item.label = moment if len(lines) == 1 else f"{item.label}, {moment}"
                item.points = ()
                item.mode = "markers" if moment == "before" else item.mode
                series.append(item)
        if not series:
            continue
        iterations = [int(i) for item in series for i in item.x]
        x = whole_axis("iteration", iterations)
        y = Axis(f"mean {column} (0 to 1)", range=SHARE_RANGE)
        caption = (
            f"{what[0].upper()}{what[1:]}; badly formed ones count 0. In each iteration 'after' should "
            f"stand above "
            "'before' by more than the bars; from one iteration to the next 'before' falls as the Solver "
            "learns. " + spread_words([len(line.runs) for line in lines], _NORMAL, points=False)
        )
        figure = draw_series(series, x, y)
        charts.append(Chart(column, title, caption, figure, LINE_HEADERS, cells(series, False)))
    return charts


def shape_charts(lines: Sequence[Line], probe: pl.DataFrame, scored: pl.DataFrame) -> list[Chart]:
    """Terms and characters of the questions, how many are well formed and in the base's domain."""
    frame = q.written(probe, scored)
    if frame.is_empty():
        return []
    labels, runs = [line.label for line in lines], [len(line.runs) for line in lines]
    charts: list[Chart] = []
    for key, title, value, axis in (
        ("terms", "Terms of a question", pl.col("terms"), "terms"),
        ("characters", "Length of a question", pl.col("question").str.len_chars(), "characters"),
    ):
        table = q.quantiles_by_iteration(frame, value)
        if table.is_empty():
            continue
        figure = new_figure(
            whole_axis(_TRAININGS, table["iteration"].to_list()),
            Axis(axis, zero=True),
            legend=len(lines) > 1,
        )
        width = 0.6 / len(lines)
        for index, label in enumerate(labels):
            part = table.filter(pl.col("line") == label)
            shift = width * (index - (len(lines) - 1) / 2)
            figure.add_box(
                x=[i + shift for i in part["iteration"]],
                q1=part["p25"].to_list(),
                median=part["p50"].to_list(),
                q3=part["p75"].to_list(),
                lowerfence=part["p10"].to_list(),
                upperfence=part["p90"].to_list(),
                mean=part["mean"].to_list(),
                name=label,
                width=width * 0.75,
                boxpoints=False,
                line={"color": theme.series_colour(index), "width": 1.8},
                fillcolor=theme.PAPER,
                hoverinfo="y",
            )
            figure.add_scatter(
                x=[i + shift for i in part["iteration"]],
                y=part["mean"].to_list(),
                mode="lines+markers",
                line={"color": theme.series_colour(index), "width": 1.4, "dash": "dot"},
                showlegend=False,
                marker={"symbol": "diamond", "size": 8, "color": theme.series_colour(index)},
                hovertemplate="mean %{y:.2f}<extra></extra>",
            )
        caption = (
            "Well-formed questions. Box: the middle half; whiskers: 10th to 90th percentile; diamond: "
            "mean. It "
            "should rise if the Challenger asks harder questions as the Solver learns."
        )
        rows = [
            [line, i, n, number(mean, 2), *(number(p, 1) for p in ps)]
            for line, i, n, mean, *ps in table.iter_rows()
        ]
        headers = ("line", "trainings", "questions", "mean", "10 %", "25 %", "50 %", "75 %", "90 %")
        charts.append(Chart(key, title, caption, figure, headers, rows))
    well_formed = q.share_by_iteration(frame, pl.col("question").is_not_null())
    charts.append(
        share_chart(
            "well-formed",
            "Well-formed questions",
            well_formed,
            labels,
            "share of all candidates",
            f"Should stay near 100 %: a fall is the first sign of a collapse. {spread_words(runs, WILSON)}",
            _TRAININGS,
        )
    )
    domain = q.in_domain_share(frame)
    if not domain.is_empty():
        charts.append(
            share_chart(
                "domain",
                "Questions within the base's domain",
                domain,
                labels,
                "share of well-formed questions",
                "What lies outside is uncertain because it is foreign, and its labels are mostly wrong. "
                "What cannot "
                f"be read as a question of the domain counts as outside. {spread_words(runs, WILSON)}",
                _TRAININGS,
            )
        )
    return charts


_DIVERSITY = {
    "unique_share": (
        "Unique questions",
        "share that is unique",
        "Different texts among the first {count} well-formed questions; the same count everywhere, since the "
        "share falls with it.",
        True,
    ),
    "distinct_2": (
        "Distinct 2-grams",
        "different pairs / all pairs",
        "Pairs of neighbouring words, numbers and signs in the first {count} well-formed questions. Long "
        "questions over few words lower it.",
        False,
    ),
    "largest_share": (
        "Largest cluster",
        "share of well-formed questions",
        "Questions in the largest cluster of similar ones (the clusters of the repetition penalty). A rise "
        "is a Challenger that repeats itself.",
        False,
    ),
    "alone_share": (
        "Questions like no other",
        "share of well-formed questions",
        "Questions in a cluster of their own.",
        False,
    ),
}
"""Column of `questions.diversity`: title, axis, caption, and whether the axis goes to 100 %."""


def diversity_charts(lines: Sequence[Line], probe: pl.DataFrame, scored: pl.DataFrame) -> list[Chart]:
    """Unique share, distinct 2-grams, largest cluster, questions like no other."""
    table = (
        q.diversity(q.written(probe, scored))
        if not (probe.is_empty() and scored.is_empty())
        else pl.DataFrame()
    )
    if table.is_empty():
        return []
    labels = [line.label for line in lines]
    count = table["questions"][0]
    several = " Bars: lowest to highest run." if any(len(line.runs) > 1 for line in lines) else ""
    charts: list[Chart] = []
    for column, (title, axis, caption, whole) in _DIVERSITY.items():
        frame = table.select(*q.KEYS, pl.col(column).alias("value")).filter(pl.col("value").is_not_null())
        frame = frame.with_columns(low=pl.col("value"), high=pl.col("value"))
        key = column.replace("_", "-")
        told = caption.format(count=count) + several
        charts.append(share_chart(key, title, frame, labels, axis, told, _TRAININGS, whole))
    return charts


def _of_line(frame: pl.DataFrame, line: Line) -> pl.DataFrame:
    return frame if frame.is_empty() else frame.filter(pl.col("line") == line.label)
