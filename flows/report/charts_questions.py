"""Charts of the questions: before and after training, how written, how varied, what is kept, how labelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from flows.report import questions as q
from flows.report import theme
from flows.report.charts import (
    WILSON,
    Chart,
    Series,
    axis,
    line_series,
    new_figure,
    series_chart,
    shade_kept,
    share_chart,
    spread_words,
    stacked_bars,
    whole_axis,
    words,
)
from flows.report.read import Line, of_line
from flows.text import number, percent
from infra.words import plural
from tasks.rewards.challenger import ChallengerReward

_NORMAL = "95\u00a0% interval of the mean"
_FEWEST = 5
_FATES = ("kept", "too_easy", "too_hard", "too_few_answered", "no_answer")
_TRAININGS = "trainings of the Challenger"


def p_hat_charts(lines: Sequence[Line], probe: pl.DataFrame, scored: pl.DataFrame) -> list[Chart]:
    """p_hat before and after the Challenger's training, one chart per line and iteration."""
    charts: list[Chart] = []
    for line in lines:
        samples = line.runs[0].config.answers.samples
        tables = {
            name: q.p_hat_shares(of_line(frame, line), samples)
            for name, frame in (("before", probe), ("after", scored))
            if not frame.is_empty()
        }
        both = [frame for frame in tables.values() if not frame.is_empty()]
        highest = max((share for frame in both for share in frame["share"]), default=0)
        for iteration in sorted({i for frame in both for i in frame["iteration"]}):
            parts = {name: frame.filter(pl.col("iteration") == iteration) for name, frame in tables.items()}
            who = f"{line.label}, iteration {iteration}" if len(lines) > 1 else f"Iteration {iteration}"
            charts.append(_p_hat_chart(f"p-hat-{len(charts)}", who, line, parts, 1.08 * highest))
    return charts


def _p_hat_chart(key: str, who: str, line: Line, parts: dict[str, pl.DataFrame], highest: float) -> Chart:
    config = line.runs[0].config
    x = axis("p̂: votes of the majority / answers", range=(0, 1 + 0.6 / config.answers.samples), dtick=0.25)
    figure = new_figure(x, axis(words("p-hat")["axis"], share=True, range=(0, highest)))
    shade_kept(figure, line)
    rows: list[list[object]] = []
    for name, part in parts.items():
        if part.is_empty():
            continue
        before = name == "before"
        colour = theme.BASE if before else theme.series_colour(0)
        figure.add_bar(
            x=part["p_hat"].to_list(),
            y=part["share"].to_list(),
            name=name,
            marker={
                "color": theme.PAPER if before else colour,
                "pattern": {"shape": "/" if before else "", "solidity": 0.4, "size": 6, "fgcolor": colour},
                "line": {"color": colour, "width": 1},
            },
            hovertemplate="p̂ %{x:.2f}: %{y:.1%}<extra>" + name + "</extra>",
        )
        rows += [[name, f"{p:.2f}", percent(s)] for p, s in part.select("p_hat", "share").iter_rows()]
    figure.update_layout(barmode="group", bargap=0.18, bargroupgap=0.04)
    return Chart.of("p-hat", figure, ("", "p̂", "share"), rows, key=key, who=who)


def reward_charts(lines: Sequence[Line], probe: pl.DataFrame, scored: pl.DataFrame) -> list[Chart]:
    """The reward of fresh questions and the terms that it is made of, before and after each training."""
    made: list[Chart] = []
    terms = {
        term.columns[0].name: term
        for line in lines
        for term in ChallengerReward(line.runs[0].config.challenger.reward).listed
    }
    single = len(lines) == 1
    for column in (*terms, "reward"):
        means = {
            moment: line_series(q.mean_by_iteration(frame, column), lines)
            for moment, frame in (("before", probe), ("after", scored))
            if column in frame.columns
        }
        for moment, series in means.items():
            for item in series:
                item.label = moment if single else f"{item.label}, {moment}"
                item.dash, item.symbol, item.points = "solid", "circle", ()
                if moment == "before":
                    item.dash, item.symbol, item.mode = "dot", "circle-open", "markers"
                    item.colour = theme.BASE if single else item.colour
        drawn = [item for series in means.values() for item in series]
        if not drawn:
            continue
        x = whole_axis("iteration", [int(i) for item in drawn for i in item.x])
        about: dict[str, Any] = {"spread": spread_words(lines, _NORMAL, points=False)}
        if term := terms.get(column):
            about |= {"key": column.replace("_", "-"), "term": term.name.capitalize(), "role": term.role}
            about["what"] = term.columns[0].description
        chart = "reward-term" if term else "reward"
        made.append(series_chart(chart, drawn, x, share=False, whole=term is None, **about))
    return made


def shape_charts(lines: Sequence[Line], probe: pl.DataFrame, scored: pl.DataFrame) -> list[Chart]:
    """Terms and characters of the questions, how many are well formed and in the base's domain."""
    frame = q.written(probe, scored)
    if frame.is_empty():
        return []
    lengths = {"terms": pl.col("terms"), "characters": pl.col("question").str.len_chars()}
    charts = [
        _length_chart(name, lines, table)
        for name, value in lengths.items()
        if not (table := q.quantiles_by_iteration(frame, value)).is_empty()
    ]
    well_formed = q.share_by_iteration(frame, pl.col("question").is_not_null())
    charts.append(share_chart("well-formed", well_formed, lines, _TRAININGS))
    domain = q.in_domain_share(frame)
    if not domain.is_empty():
        charts.append(share_chart("domain", domain, lines, _TRAININGS))
    return charts


def _length_chart(name: str, lines: Sequence[Line], table: pl.DataFrame) -> Chart:
    """A box for each iteration of each line, from quantiles."""
    x = whole_axis(_TRAININGS, table["iteration"].to_list())
    figure = new_figure(x, axis(words(name)["axis"], rangemode="tozero"), legend=len(lines) > 1)
    width = 0.6 / len(lines)
    for index, line in enumerate(lines):
        part, colour = of_line(table, line), theme.series_colour(index)
        place = [i + width * (index - (len(lines) - 1) / 2) for i in part["iteration"]]
        of = {name: part[name].to_list() for name in ("p10", "p25", "p50", "p75", "p90", "mean")}
        figure.add_box(
            x=place,
            q1=of["p25"],
            median=of["p50"],
            q3=of["p75"],
            lowerfence=of["p10"],
            upperfence=of["p90"],
            mean=of["mean"],
            name=line.label,
            width=width * 0.75,
            boxpoints=False,
            line={"color": colour, "width": 1.8},
            fillcolor=theme.PAPER,
            hoverinfo="y",
        )
        figure.add_scatter(
            x=place,
            y=of["mean"],
            mode="lines+markers",
            line={"color": colour, "width": 1.4, "dash": "dot"},
            showlegend=False,
            marker={"symbol": "diamond", "size": 8, "color": colour},
            hovertemplate="mean %{y:.2f}<extra></extra>",
        )
    rows = [
        [line, i, n, number(mean, 2), *(number(p, 1) for p in ps)]
        for line, i, n, mean, *ps in table.iter_rows()
    ]
    headers = ("line", "trainings", "questions", "mean", "10 %", "25 %", "50 %", "75 %", "90 %")
    return Chart.of(name, figure, headers, rows)


def diversity_charts(lines: Sequence[Line], probe: pl.DataFrame, scored: pl.DataFrame) -> list[Chart]:
    """Unique share, distinct 2-grams, largest cluster, questions like no other."""
    frame = q.written(probe, scored)
    table = q.diversity(frame) if not frame.is_empty() else frame
    if table.is_empty():
        return []
    spread = "Bars: lowest to highest run." if any(len(line.runs) > 1 for line in lines) else ""
    said = {"count": table["questions"][0], "spread": spread}
    charts: list[Chart] = []
    for column in ("unique_share", "distinct_2", "largest_share", "alone_share"):
        value = pl.col(column)
        shares = table.filter(value.is_not_null()).select(*q.KEYS, value=value, low=value, high=value)
        name, whole = column.replace("_", "-"), column == "unique_share"
        charts.append(share_chart(name, shares, lines, _TRAININGS, whole, **said))
    return charts


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
        axis("share of all candidates", share=True, range=(0, 1.001), dtick=0.25),
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
            x = axis("p̂", range=(0, 1.05), dtick=0.25)
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


def _accuracy_chart(name: str, frame: pl.DataFrame, x: dict[str, Any], unit: str, **values: Any) -> Chart:
    """Label accuracy over the third column of `frame`, one series an iteration."""
    column = frame.columns[2]
    last = int(frame["iteration"].max())  # type: ignore[arg-type]
    series = []
    for index, iteration in enumerate(frame["iteration"].unique().sort().to_list()):
        part = frame.filter(pl.col("iteration") == iteration).sort(column)
        hover = [f"{unit} {at:g}, {plural(n, 'question')}" for at, n in part.select(column, "n").iter_rows()]
        colour = theme.iteration_colour(iteration, last)
        label = f"iteration {iteration}"
        series.append(Series.of(label, part, column, index, hover=hover, colour=colour, dash="solid"))
    headers = ("iteration", unit, "value", "low", "high")
    return series_chart(name, series, x, headers, fewest=_FEWEST, spread=f"Bars: {WILSON}.", **values)
