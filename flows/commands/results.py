"""`rzero results`: the score of every benchmark by iteration, from the manifests alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from flows.commands.options import in_store, json_option, name_argument, open_run, store_option
from infra.words import plural

if TYPE_CHECKING:
    from data.config import RunConfig
    from flows.summary import FinishedStep

_NAMES = {"math_average": "math average", "overall_average": "overall average"}


@click.command()
@name_argument
@store_option
@json_option
def results(run_name: str, store: str | None, as_json: bool) -> None:
    """Show the scores by benchmark and iteration, with intervals."""
    from flows.live.show import show_json, show_table, tell
    from flows.summary import read_steps

    place, config = open_run(store, run_name)
    rows = result_rows(read_steps(place, config))
    if as_json:
        show_json(rows)
        return
    if not rows:
        tell(f"no evaluation of {run_name} is finished")
        return
    show_table(shown_rows(rows), f"{run_name} ({config.preset}): percent, with 95 % intervals", keys=2)
    tell("An interval says how far a score would move with other problems of the same kind.")
    for line in partial_sets(rows):
        tell(line)


def run_command(config: RunConfig, store: str | None) -> str:
    """The command that goes on with a run."""
    return f"rzero run --run {config.run}{in_store(store)}"


def show_ending(config: RunConfig, store: str | None, as_json: bool) -> None:
    """What a run ends with: its table of results, the gain, the report's path, and what to type next."""
    from flows.commands.report import HINT, can_report, store_report
    from flows.live.show import show_json, show_table, tell, tell_command
    from flows.summary import gain_line, read_steps, shown_rows, summary_rows
    from infra.store.store import Store

    place = Store(config.store)
    rows = summary_rows(read_steps(place, config))
    if as_json:
        show_json(rows)
        return
    show_table(shown_rows(rows))
    if gain := gain_line(rows):
        tell(gain)
    # Its last iteration has written the report, unless there was nothing left to do.
    tell(
        f"Report: {store_report(place, [config.run], again=False)}" if can_report() else f"No report: {HINT}"
    )
    ending = in_store(store)
    last = f"--iteration {config.iterations}"
    tell_command(f"rzero status {config.run}{ending}", "Next: ")
    tell_command(f"rzero inspect {config.run} {last}{ending}", "      ")
    tell_command(f"rzero export {config.run} {last} --to {config.run}-solver{ending}", "      ")


def result_rows(steps: Sequence[FinishedStep]) -> list[dict[str, Any]]:
    """One row per iteration, benchmark and measure: value, low and high in [0, 1], problems.

    `headline` marks the measure that enters the averages; an average says over how many `benchmarks` it is.
    """
    return [
        {"iteration": item.step.iteration} | score
        for item in steps
        if item.step.stage == "evaluate" and item.manifest
        for score in item.manifest.figures.get("scores", ())
    ]


def shown_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows for a person: a line per benchmark and measure, a column per iteration; averages last."""
    iterations = sorted({row["iteration"] for row in rows})
    lines: dict[tuple[str, str], dict[int, str]] = {}
    largest = {
        row["benchmark"]: row["measure"].removeprefix("mean@") for row in rows if "mean@" in row["measure"]
    }
    for row in sorted(rows, key=lambda row: (row["measure"] == "average", row["iteration"])):
        if row["measure"].startswith("pass@") and row["measure"] != f"pass@{largest[row['benchmark']]}":
            continue
        name = _NAMES.get(row["benchmark"], row["benchmark"])
        measure = f"of {row['benchmarks']}" if row["measure"] == "average" else row["measure"]
        if measure.startswith("mean@"):
            measure = f"pass@1 ({measure})"
        lines.setdefault((name, measure), {})[row["iteration"]] = _cell(row)
    return [
        {"benchmark": name, "measure": measure}
        | {f"iteration {iteration}": cells.get(iteration) for iteration in iterations}
        for (name, measure), cells in lines.items()
    ]


def partial_sets(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each benchmark that was not measured on its whole set."""
    lines = []
    for name, problems in {(row["benchmark"], row.get("problems")) for row in rows}:
        size = _size(name)
        if problems is not None and size is not None and problems != size:
            lines.append(f"{name}: {plural(problems, 'problem')}, the whole set has {size}")
    return sorted(lines)


def _size(name: str) -> int | None:
    from data.benchmarks import BenchmarkError, get

    try:
        return get(name).size
    except BenchmarkError:
        return None


def _cell(row: Mapping[str, Any]) -> str:
    value, low, high = (f"{100 * row[name]:.1f}" for name in ("value", "low", "high"))
    return f"{value} ({low}-{high})"
