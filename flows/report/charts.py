"""How every chart looks: a plotly figure, its caption, the numbers behind it, and where they come from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]
import polars as pl
import yaml

from flows.report import theme
from flows.report.read import Line, of_line
from flows.text import percent


@dataclass(frozen=True)
class Chart:
    """A chart of the page. `caption` says what one should see; `rows` are the drawn numbers as text."""

    key: str
    title: str
    caption: str
    figure: go.Figure
    headers: Sequence[str]
    rows: Sequence[Sequence[object]]
    wide: bool = False

    @classmethod
    def of(
        cls,
        name: str,
        figure: go.Figure,
        headers: Sequence[str],
        rows: Sequence[Sequence[object]],
        key: str | None = None,
        wide: bool = False,
        **values: object,
    ) -> Chart:
        """A chart with the words of `name`, filled in with `values`; `key` where a name occurs repeatedly."""
        title, caption = (words(name)[part].format(**values).strip() for part in ("title", "caption"))
        return cls(key or name, title, caption, figure, headers, rows, wide)


@cache
def words(name: str) -> dict[str, str]:
    """Title, axis and caption of a chart, from templates/charts.yaml."""
    content = resources.files("flows.report").joinpath("templates/charts.yaml").read_text(encoding="utf-8")
    found: dict[str, str] = yaml.safe_load(content)[name]
    return found


@dataclass
class Series:
    """A line of a chart. `points` are single runs or samples behind it, drawn small."""

    label: str
    x: Sequence[Any]
    y: Sequence[float | None]
    low: Sequence[float | None] | None = None
    high: Sequence[float | None] | None = None
    hover: Sequence[str] | None = None
    points: Sequence[tuple[Any, float]] = ()
    colour: str = theme.SERIES[0]
    symbol: str = "circle"
    dash: str = "solid"
    mode: str = "lines+markers"

    @classmethod
    def of(cls, label: str, frame: pl.DataFrame, x: str, index: int, **look: Any) -> Series:
        """The series of `x`, value, low and high of a frame, in the look of the index-th."""
        at, value, low, high = (frame[name].to_list() for name in (x, "value", "low", "high"))
        return cls(label, at, value, low, high, **{**theme.look(index), **look})


SHARE_RANGE = (-0.02, 1.04)
LINE_HEADERS = ("line", "iteration", "value", "low", "high")
WILSON = "95\u00a0% interval of the share"
_AXIS = {
    "gridcolor": theme.GRID,
    "linecolor": theme.GRID,
    "tickcolor": theme.GRID,
    "ticks": "outside",
    "zeroline": False,
    "automargin": True,
    "fixedrange": True,
}


def axis(
    title: str, share: bool = False, range: tuple[float, float] | None = None, **options: Any
) -> dict[str, Any]:
    """An axis as plotly's layout takes it, with its unit in the title; `share` shows 0.25 as 25 %."""
    made = _AXIS | {"title": {"text": title, "standoff": 8, "font": {"size": 13}}}
    if share:
        made["tickformat"] = ".2~%"
    if range:
        made["range"] = list(range)
    return made | options


def whole_axis(title: str, values: Sequence[int]) -> dict[str, Any]:
    """An axis of whole numbers with some room at both ends."""
    low, high = (min(values), max(values)) if values else (0, 1)
    step = max(1, math.ceil((high - low) / 12))
    return axis(title, range=(low - 0.35, high + 0.35), dtick=step, tickformat="d", tick0=0)


_LAYOUT = {
    "template": "none",
    "paper_bgcolor": theme.PAPER,
    "plot_bgcolor": theme.PAPER,
    "font": {"family": "system-ui, -apple-system, 'Segoe UI', sans-serif", "size": 13, "color": theme.INK},
    "margin": {"l": 56, "r": 14, "t": 12, "b": 44},
    "hoverlabel": {"bgcolor": theme.PAPER, "bordercolor": theme.QUIET, "align": "left"},
    "hoverlabel_font_color": theme.INK,
    "legend": {"orientation": "h", "traceorder": "normal", "maxheight": 0.9, "x": 0, "xanchor": "left"},
    "legend_y": 1.02,
    "legend_yanchor": "bottom",
}


def new_figure(x: dict[str, Any], y: dict[str, Any], height: int = 330, legend: bool = True) -> go.Figure:
    """An empty figure in the report's style."""
    return go.Figure(layout=go.Layout(**_LAYOUT, xaxis=x, yaxis=y, height=height, showlegend=legend))


def shade_kept(figure: go.Figure, line: Line) -> None:
    """Shade the values of p_hat that the filter of a line keeps."""
    delta = line.runs[0].config.filter.delta
    figure.add_vrect(x0=0.5 - delta, x1=0.5 + delta, fillcolor=theme.BAND, line_width=0, layer="below")


def _add_series(figure: go.Figure, item: Series, shift: float, share: bool, numeric: bool) -> None:
    """A line with its error bars, moved by `shift` so that lines do not cover each other."""
    if item.points:
        figure.add_scatter(
            x=[at + (0.12 if numeric else 0) for at, _ in item.points],
            y=[value for _, value in item.points],
            mode="markers",
            marker={"color": item.colour, "size": 5, "opacity": 0.45, "symbol": "circle-open"},
            hoverinfo="skip",
            showlegend=False,
        )
    error = None
    if item.low is not None and item.high is not None:
        error = {"type": "data", "symmetric": False, "thickness": 1.4, "width": 3}
        error["array"], error["arrayminus"] = _above(item.high, item.y), _above(item.y, item.low)
    shown = "%{y:.1%}" if share else "%{y:.4g}"
    figure.add_scatter(
        x=[value + shift for value in item.x] if shift else list(item.x),
        y=list(item.y),
        mode=item.mode,
        name=item.label,
        error_y=error,
        text=list(item.hover) if item.hover else None,
        hovertemplate=f"{shown}{'<br>%{text}' if item.hover else ''}<extra>{item.label}</extra>",
        line={"color": item.colour, "width": 2.2, "dash": item.dash},
        marker={"color": item.colour, "size": 8, "symbol": item.symbol},
    )


def _above(upper: Sequence[float | None], lower: Sequence[float | None]) -> list[float]:
    """How far each value lies above another; 0 where it does not, or one of them is not known."""
    pairs = zip(upper, lower, strict=True)
    return [0 if high is None or low is None else max(0.0, high - low) for high, low in pairs]


def line_series(frame: pl.DataFrame, lines: Sequence[Line]) -> list[Series]:
    """One series a line from `line, run, iteration, value, low, high`.

    A line of one run has the run's interval; of several, their mean with the lowest and the highest, and
    each run as a point.
    """
    series = []
    for index, line in enumerate(lines):
        part = of_line(frame, line)
        if part.is_empty():
            continue
        several = part["run"].n_unique() > 1
        value = pl.col("value")
        bounds = (value.min(), value.max()) if several else (pl.col("low").min(), pl.col("high").max())
        means = (
            part.group_by("iteration")
            .agg(value.mean(), bounds[0].alias("low"), bounds[1].alias("high"), pl.len().alias("runs"))
            .sort("iteration")
        )
        hover = [
            f"iteration {i}, mean of {n} runs" if several else f"iteration {i}"
            for i, n in means.select("iteration", "runs").iter_rows()
        ]
        points = list(part.select("iteration", "value").iter_rows()) if several else ()
        series.append(Series.of(line.label, means, "iteration", index, hover=hover, points=points))
    return series


def spread_words(lines: Sequence[Line], one: str, points: bool = True) -> str:
    """What the bars of `line_series` mean; `one` says so for a single run; `points`: runs are drawn."""
    several = [len(line.runs) > 1 for line in lines]
    if not any(several):
        return f"Bars: {one}."
    circles = " (small circles: each run)" if points else ""
    if all(several):
        return f"Bars: lowest to highest run{circles}."
    return f"Bars: lowest to highest run where a line has several{circles}, else {one}."


def cells(series: Sequence[Series], share: bool) -> list[list[object]]:
    """The drawn numbers of series as rows: series, x, value, low, high."""

    def shown(value: float | None) -> object:
        if value is None:
            return None
        return percent(value) if share else f"{value:.4g}"

    rows: list[list[object]] = []
    for item in series:
        unknown = [None] * len(item.y)
        for x, *values in zip(item.x, item.y, item.low or unknown, item.high or unknown, strict=True):
            if values[0] is not None:
                rows.append([item.label, f"{x:.4g}" if isinstance(x, float) else x, *map(shown, values)])
    return rows


def series_chart(
    name: str,
    series: Sequence[Series],
    x: dict[str, Any],
    headers: Sequence[str] = LINE_HEADERS,
    share: bool = True,
    whole: bool = True,
    height: int = 330,
    **values: Any,
) -> Chart:
    """A chart of lines with its numbers; `share` in percent, `whole` with an axis over all of 0 to 1."""
    scale: dict[str, Any] = {"range": SHARE_RANGE} if whole else {"rangemode": "tozero"}
    y = axis(words(name)["axis"], share, **scale)
    figure = new_figure(x, y, height, legend=len(series) > 1)
    numeric = x.get("type") != "category"
    for index, item in enumerate(series):
        shift = 0.05 * (index - (len(series) - 1) / 2) if numeric and item.low is not None else 0.0
        _add_series(figure, item, shift, share, numeric)
    return Chart.of(name, figure, headers, cells(series, share), **values)


def share_chart(
    name: str,
    frame: pl.DataFrame,
    lines: Sequence[Line],
    x_title: str = "iteration",
    whole: bool = True,
    **values: Any,
) -> Chart:
    """A chart of shares by iteration from `line, run, iteration, value, low, high`."""
    series = line_series(frame, lines)
    x = whole_axis(x_title, [int(i) for item in series for i in item.x])
    return series_chart(name, series, x, whole=whole, **{"spread": spread_words(lines, WILSON), **values})


def stacked_bars(
    bars: Sequence[str],
    parts: Mapping[str, Sequence[float]],
    x: dict[str, Any],
    y_title: str,
    room: int,
    shown: str,
) -> go.Figure:
    """Horizontal bars, each of coloured parts; `shown` formats a part's value, `room` is for the legend."""
    y = axis(y_title, type="category", autorange="reversed")
    figure = new_figure(x, y, room + 34 * len(bars))
    for index, (name, values) in enumerate(parts.items()):
        figure.add_bar(
            y=list(bars),
            x=list(values),
            name=name,
            orientation="h",
            marker={"color": theme.series_colour(index), "line": {"color": theme.PAPER, "width": 1.5}},
            hovertemplate=f"{shown}<extra>{name}</extra>",
        )
    return figure.update_layout(barmode="stack", bargap=0.3)
