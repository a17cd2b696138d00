"""How a run stands, in Prefect's UI above all else that a flow run shows; and the report beside the run."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import polars as pl

from data.config import RunConfig
from flows.commands.report import HINT, can_report, report_path, store_report
from flows.gates.lines import gate_lines
from flows.report import accuracy as acc
from flows.report.read import Run, collect, lines_of
from flows.summary import gain_line, read_steps, summary_rows
from flows.text import number
from infra.run_log import run_log
from infra.store.store import Store
from tasks.publish.markdown import escaped, fenced, sample_of_questions
from tasks.publish.plots import draw_accuracy, image
from tasks.publish.shown import in_flow_run, key_of, show
from tasks.publish.tracking import tracked
from tasks.stage.errors import GateStopped
from tasks.stage.task import after_stage

_QUESTIONS = 3
_SHARES = {
    "challenger_reward_after": "reward",
    "kept_share": "kept",
    "label_accuracy": "labels right",
}
_LEGEND = (
    "Percent, with 95 % intervals if the problems were drawn anew. reward: the Challenger's, after its "
    "training; kept: of its questions; labels right: of those kept, where the true answer is known."
)


@contextmanager
def overview(config: RunConfig, iteration: int) -> Iterator[None]:
    """Show how the run stands while the block works, anew after each stage; then write the run's report.

    The run's trackers are told the same.

    What fails here is one warning, and fails no run.
    """
    shown = Overview(config, iteration)
    shown.update()
    with tracked(config, iteration) as tell_trackers:

        def show_and_tell() -> None:
            shown.update()
            tell_trackers()

        token = after_stage.set(show_and_tell)
        try:
            yield
        except GateStopped:
            shown.report()
            raise
        finally:
            after_stage.reset(token)
    shown.report()


class Overview:
    """The overview that a flow run shows, of one iteration or of all."""

    def __init__(self, config: RunConfig, iteration: int | None = None) -> None:
        self._config, self._iteration, self._store = config, iteration, Store(config.store)
        self._told: object = None

    def update(self) -> None:
        """Show it anew, if anything has been finished meanwhile; nothing outside a flow run."""
        if not in_flow_run():
            return
        try:
            run = Run(self._store, self._config, tuple(read_steps(self._store, self._config)))
            finished = [item.step.ref for item in run.steps]
            if finished == self._told:
                return
            what = () if self._iteration is None else ("iteration", self._iteration)
            key = key_of(run.name, *what, "overview")
            head = " ".join((f"Now: {run.progress}.", gain_line(summary_rows(run.steps)) or ""))
            show("markdown", key, overview_text(run), escaped(head), on_top=True)
            self._told = finished
        except Exception as error:
            run_log().warning(f"the overview could not be shown in Prefect: {error}")

    def report(self) -> None:
        """Write the report beside the run."""
        if not can_report():
            _say_once(f"no report: {HINT}")
            return
        try:
            run_log().info(f"report: {store_report(self._store, [self._config.run])}")
        except Exception as error:
            run_log().warning(f"the report could not be written: {error}")


def overview_text(run: Run) -> str:
    """The overview as markdown, from the store alone; text of models is escaped in it."""
    rows = summary_rows(run.steps)
    parts = [f"## {escaped(run.name)}", escaped(f"Now: {run.progress}.")]
    if gain := gain_line(rows):
        parts.append(f"**{escaped(gain)}**")
    parts += [f"- {escaped(line)}" for line in gate_lines(run.store, run.config, run.steps)]
    evaluation = collect(lines_of([run]), "evaluate", columns=acc.COLUMNS)
    measured = _measured(evaluation)
    parts += [_table(rows, measured), _LEGEND]
    lines = tuple((name, tuple((at, *found) for at, found in of.items())) for name, of in measured.items())
    parts += _plot(lines)
    for iteration in reversed(run.iterations()):
        scored = run.table(iteration, "score_and_filter")
        if scored is not None:
            parts += [f"### Questions of iteration {iteration}", sample_of_questions(scored, _QUESTIONS, 0)]
            break
    parts.append("### Report")
    if can_report():
        parts += ["Written at the end of each iteration:", fenced(run.store.uri_of(report_path(run.name)))]
        parts.append("Always up to date, in a browser on this machine:")
        parts.append(fenced(f"rzero report {run.name} --watch --store {shlex.quote(run.store.uri)}"))
    else:
        parts.append(escaped(f"None: {HINT}"))
    return "\n\n".join(parts)


def _measured(evaluation: pl.DataFrame) -> dict[str, dict[int, tuple[float, float, float]]]:
    """For each measure, by iteration: value, low and high."""
    if evaluation.is_empty():
        return {}
    names = acc.measure_names(evaluation)
    found: dict[str, dict[int, tuple[float, float, float]]] = {}
    for row in acc.accuracy_by_iteration(evaluation).iter_rows(named=True):
        interval = (row["value"], row["low"], row["high"])
        found.setdefault(names[row["measure"]], {})[row["iteration"]] = interval
    return {name: found[name] for name in names.values() if name in found}


def _table(rows: Sequence[dict[str, Any]], measured: dict[str, dict[int, tuple[float, float, float]]]) -> str:
    shares = [name for name in _SHARES if any(row[name] is not None for row in rows)]
    headers = ["iteration", *measured, *(_SHARES[name] for name in shares)]
    lines = [f"| {' | '.join(headers)} |", f"|---{'|---:' * (len(headers) - 1)}|"]
    for row in rows:
        iteration = row["iteration"]
        cells = [str(iteration) if iteration else "0, the base"]
        cells += [_interval(of.get(iteration)) for of in measured.values()]
        for name in shares:
            is_reward = name == "challenger_reward_after"
            cells.append((number(row[name]) or "–") if is_reward else _percent(row[name]))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _interval(found: tuple[float, float, float] | None) -> str:
    if found is None:
        return "–"
    value, low, high = found
    return f"{_percent(value)} ({_percent(low)}–{_percent(high)})"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


@functools.lru_cache(maxsize=4)
def _plot(lines: tuple[tuple[str, tuple[tuple[int, float, float, float], ...]], ...]) -> tuple[str, ...]:
    drawn = draw_accuracy(dict(lines))
    return () if drawn is None else (image(*drawn),)


@functools.cache
def _say_once(text: str) -> None:
    run_log().info(text)
