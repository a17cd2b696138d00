"""Charts of what the Solver can do, of the trainings, and of the time it took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from data import benchmarks
from data.benchmark import Benchmark
from flows.report import accuracy as acc
from flows.report import theme
from flows.report.charts import (
    Chart,
    Series,
    axis,
    line_series,
    series_chart,
    share_chart,
    spread_words,
    stacked_bars,
    whole_axis,
)
from flows.report.questions import share_by_iteration
from flows.report.read import Line, Run, of_line
from flows.text import duration
from tasks.stage.graph import STAGES

_MOST_MARKERS = 80
_BOOTSTRAP = "95\u00a0% interval if the problems were drawn anew (bootstrap)"


_MEANINGS = {
    "greedy": "Accuracy of the likeliest answer (temperature 0).",
    "pass@1": "Mean accuracy of one sampled answer.",
    "maj@k": "Accuracy of the majority of the samples.",
}


def accuracy_charts(lines: Sequence[Line], evaluation: pl.DataFrame) -> list[Chart]:
    """Accuracy by iteration: one chart for one line, one per measure for several."""
    if evaluation.is_empty():
        return []
    table = acc.accuracy_by_iteration(evaluation)
    names = acc.measure_names(evaluation)
    x = whole_axis("iteration (0: the base model)", table["iteration"].to_list())
    spread = spread_words(lines, _BOOTSTRAP)
    single = len(lines) == 1 and len(lines[0].runs) == 1
    charts, series = [], []
    for index, (measure, meaning) in enumerate(_MEANINGS.items()):
        found = line_series(table.filter(pl.col("measure") == measure), lines)
        if found and len(lines) > 1:
            said: dict[str, Any] = {"measure": names[measure], "meaning": meaning, "spread": spread}
            charts.append(series_chart("accuracy-by-measure", found, x, key=f"accuracy-{index}", **said))
        for item in found:
            item.label = names[measure]
            item.colour, item.symbol, item.dash = theme.look(index).values()
            if measure == "pass@1" and single:
                by_sample = acc.accuracy_by_sample(evaluation)
                item.points = list(by_sample.select("iteration", "value").iter_rows())
            series.append(item)
    if len(lines) > 1:
        return charts
    dots = " Small circles: pass@1 with each sample alone, the spread of the dice." if single else ""
    said = {"majority": names["maj@k"], "spread": spread, "dots": dots}
    return [series_chart("accuracy", series, x, height=400, wide=True, **said)]


def length_charts(lines: Sequence[Line], evaluation: pl.DataFrame) -> list[Chart]:
    """Tokens of an answer by iteration: one chart for each way of decoding."""
    if evaluation.is_empty():
        return []
    table = acc.length_by_iteration(evaluation)
    x = whole_axis("iteration (0: the base model)", table["iteration"].to_list())
    spread = spread_words(lines, "the middle half of the answers")
    charts = []
    for mode in ("greedy", "sampled"):
        found = line_series(table.filter(pl.col("mode") == mode), lines)
        if found:
            said: dict[str, Any] = {"key": f"length-{mode}", "mode": mode, "spread": spread}
            charts.append(series_chart("length", found, x, share=False, whole=False, **said))
    return charts


def habit_charts(lines: Sequence[Line], shown: pl.DataFrame) -> list[Chart]:
    """How often the Solver works in each way that its domain names, by iteration: one chart a way."""
    if shown.is_empty():
        return []
    return [
        share_chart(
            "habit",
            share_by_iteration(part, pl.col("shown")),
            lines,
            key=f"habit-{index}",
            habit=habit.capitalize(),
        )
        for index, ((habit,), part) in enumerate(shown.sort("habit").group_by("habit", maintain_order=True))
    ]


def group_charts(lines: Sequence[Line], evaluation: pl.DataFrame) -> list[Chart]:
    """Accuracy by part of the held-out set: iterations for one line, base and last for several."""
    if evaluation.is_empty():
        return []
    table = acc.accuracy_by_group(evaluation)
    names = acc.measure_names(evaluation)
    charts: list[Chart] = []
    installed = benchmarks.names()
    for benchmark in table["benchmark"].unique().sort():
        # What the store holds is shown even where the package that declared the benchmark is gone.
        group_title = (benchmarks.get(benchmark) if benchmark in installed else Benchmark).group_title
        for measure in acc.MEASURES:
            part = table.filter((pl.col("benchmark") == benchmark) & (pl.col("measure") == measure))
            if part.is_empty() or part["group"].n_unique() < 2:
                continue
            series = _group_series(lines, part)
            groups = part["group"].unique().to_list()
            if all(group.isdigit() for group in groups):
                x = whole_axis(group_title, [int(group) for group in groups])
            else:
                x = axis(group_title, type="category")
            said = {"measure": names[measure], "benchmark": benchmark, "smallest": min(part["problems"])}
            charts.append(series_chart("group", series, x, key=f"group-{len(charts)}", **said))
    return charts


def _group_series(lines: Sequence[Line], part: pl.DataFrame) -> list[Series]:
    numeric = all(str(group).isdigit() for group in part["group"])

    def series(label: str, frame: pl.DataFrame, index: int, **look: Any) -> Series:
        means = frame.group_by("group").agg(pl.col("value").mean()).sort("group")
        x = [int(group) if numeric else group for group in means["group"]]
        mode = "lines+markers" if numeric else "markers"
        return Series(label, x, means["value"].to_list(), mode=mode, **{**theme.look(index), **look})

    of = {i: part.filter(pl.col("iteration") == i) for i in sorted(part["iteration"].unique().to_list())}
    base = {"colour": theme.BASE, "dash": "dot"}
    if len(lines) == 1:
        numbers = list(of)
        shown = numbers if len(of) <= 6 else [*numbers[:1], *numbers[1::2]]
        colours = {i: theme.iteration_colour(i, numbers[-1]) for i in shown}
        return [
            series("base model", of[i], index, **base)
            if i == 0
            else series(f"iteration {i}", of[i], index, colour=colours[i], dash="solid")
            for index, i in enumerate(shown)
        ]
    found = [series("base model (mean)", of[0], len(lines), **base)] if 0 in of else []
    for index, line in enumerate(lines):
        mine = of_line(part, line)
        if not mine.is_empty():
            last = max(mine["iteration"].to_list())
            label = f"{line.label}, iteration {last}"
            found.append(series(label, mine.filter(pl.col("iteration") == last), index))
    return found


def training_charts(lines: Sequence[Line], metrics: dict[str, pl.DataFrame]) -> list[Chart]:
    """Reward and KL by step, the iterations one after the other; `metrics` by stage."""
    charts: list[Chart] = []
    for stage, frame in metrics.items():
        if frame.is_empty():
            continue
        for column in ("reward_mean", "kl"):
            longest = frame.group_by("iteration").agg(pl.col("step").max()).sort("iteration")
            starts, total = {}, 0
            for iteration, steps in longest.iter_rows():
                starts[iteration] = total
                total += steps
            series = _curves(lines, frame, column, starts)
            x = axis("training step, iterations in a row", range=(0, total + 1))
            headers = ("line", "step", "value", "low", "high")
            name = f"{stage}-{column}".replace("_", "-")
            chart = series_chart(name, series, x, headers, share=False, whole=False)
            for iteration, start in starts.items():
                chart.figure.add_vline(x=start + 0.5, line={"color": theme.QUIET, "width": 1, "dash": "dot"})
                chart.figure.add_annotation(
                    x=start + 0.7,
                    y=1,
                    yref="paper",
                    text=f"it. {iteration}" if iteration == 1 else str(iteration),
                    showarrow=False,
                    xanchor="left",
                    yanchor="top",
                    font={"size": 11, "color": theme.QUIET},
                )
            charts.append(chart)
    return charts


def _curves(lines: Sequence[Line], frame: pl.DataFrame, column: str, starts: dict[int, int]) -> list[Series]:
    series = []
    for index, line in enumerate(lines):
        points: list[tuple[float, float | None, str]] = []
        mine = of_line(frame, line)
        for iteration, start in starts.items():
            means = mine.filter(pl.col("iteration") == iteration).group_by("step").agg(pl.col(column).mean())
            for step, value in means.sort("step").iter_rows():
                points.append((start + step, value, f"iteration {iteration}, step {step}"))
            if not means.is_empty():
                # A gap between iterations: another start, another reference.
                points.append((points[-1][0], None, ""))
        if points:
            x, y, hover = zip(*points, strict=True)
            mode = "lines+markers" if len(x) <= _MOST_MARKERS else "lines"
            look = theme.look(index) | {"dash": "solid"}
            series.append(Series(line.label, x, y, hover=hover, mode=mode, **look))
    return series


def time_charts(runs: Sequence[Run]) -> list[Chart]:
    """Time by stage, one bar per run and iteration."""
    rows: list[tuple[str, str, float]] = []
    for run in runs:
        for item in run.steps:
            if item.manifest:
                where = f"{run.name}, {item.step.iteration}" if len(runs) > 1 else f"{item.step.iteration}"
                rows.append((where, item.step.stage, item.manifest.seconds))
    if not rows:
        return []
    bars = list(dict.fromkeys(where for where, _, _ in rows))
    largest = max(sum(seconds for at, _, seconds in rows if at == where) for where in bars)
    unit, divisor = ("minutes", 60) if largest >= 180 else ("seconds", 1)
    spent = {(where, stage): seconds for where, stage, seconds in rows}
    figure = stacked_bars(
        bars,
        {stage: [spent.get((where, stage), 0) / divisor for where in bars] for stage in STAGES},
        axis(f"time in {unit}", rangemode="tozero"),
        "run, iteration" if len(runs) > 1 else "iteration (0: base)",
        170,
        f"%{{x:.2f}} {unit}",
    )
    table = [[where, stage, duration(seconds)] for where, stage, seconds in rows]
    headers = ("iteration", "stage", "time")
    return [Chart.of("time", figure, headers, table, wide=True)]
