"""`rzero status`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from flows.commands.options import json_option, open_run, open_store, store_option
from flows.commands.results import run_command
from flows.text import SPACE, duration, say, shown_name

if TYPE_CHECKING:
    from data.config import RunConfig
    from flows.gates.verdict import Tripped
    from flows.summary import FinishedStep, Working
    from infra.store.store import Store
    from tasks.stage.walk import Step

_SHOWN = ("iteration", "stage", "state", "seconds", "figures")


@click.command()
@click.argument("run_name", metavar="[NAME]", required=False)
@store_option
@json_option
def status(run_name: str | None, store: str | None, as_json: bool) -> None:
    """Show where a run stands and what runs now, or list the runs.

    Without NAME: the runs of the store. From the store alone, so also of a run on another machine; what it
    says of the present is at most 20 seconds old.
    """
    from flows.gates.lines import all_tripped, gate_lines
    from flows.live.show import show_json, show_table, tell, tell_command
    from flows.summary import read_steps, status_rows

    if run_name is None:
        _list_runs(open_store(store), as_json)
        return
    place, config = open_run(store, run_name)
    steps = read_steps(place, config)
    working = _working(place, steps)
    rows = status_rows(steps, working)
    if as_json:
        found = all_tripped(config, steps)
        show_json([row | {"gates": _tripped_at(row, found)} for row in rows])
        return
    tell(f"{run_name} ({config.preset}) in {place.uri}")
    say("")
    show_table([{name: row[name] for name in _SHOWN} | {"figures": _named(row["figures"])} for row in rows])
    for line in (*gate_lines(place, config, steps), *_lines(steps, working)):
        tell(line)
    if going_on := _going_on(config, steps, working, store):
        tell(going_on[0])
        tell_command(going_on[1])


def _working(place: Store, steps: list[FinishedStep]) -> Working:
    """What is begun of the unfinished steps."""
    from flows.live.now import look

    unfinished = [item.step for item in steps if item.manifest is None]
    found = {(step.iteration, step.stage): look(place, step) for step in unfinished}
    return {key: now for key, now in found.items() if now is not None}


def _named(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {shown_name(name).replace(" ", SPACE): value for name, value in figures.items()}


def _tripped_at(row: Mapping[str, Any], found: Sequence[Tripped]) -> list[dict[str, Any]]:
    """Of the tripped gates those of a row of `status_rows`: gate, figure, threshold, action."""
    return [
        {"gate": each.gate, "figure": each.figure, "threshold": each.threshold, "action": each.action}
        for each in found
        if (each.iteration, each.stage) == (row["iteration"], row["stage"])
    ]


def _lines(steps: list[FinishedStep], working: Working) -> list[str]:
    """What runs now, or that nothing is left."""
    lines = []
    for each in working.values():
        for holder in each.holders:
            since = f"for {duration(each.seconds)}" if each.seconds is not None else ""
            lines.append(f"running: {holder}: {', '.join(part for part in (str(each), since) if part)}")
    return lines if lines or _left(steps) else ["All stages are finished."]


def _left(steps: list[FinishedStep]) -> list[Step]:
    return [item.step for item in steps if item.is_left]


def _going_on(
    config: RunConfig, steps: list[FinishedStep], working: Working, store: str | None
) -> tuple[str, str] | None:
    """Where a run goes on that nobody works on, and by which command; None where there is nothing to say."""
    from flows.gates.lines import stopped, without

    left = _left(steps)
    if not left or any(now.holders for now in working.values()):
        return None
    now = working.get((left[0].iteration, left[0].stage))
    kept = f" ({now} kept)" if now else ""
    stopped_by = stopped(config, steps)
    goes_on = "A gate has stopped it. Without that, it would go on" if stopped_by else "It goes on"
    return (
        f"Nobody works on it now. {goes_on} at {left[0].stage} of iteration {left[0].iteration}{kept}:",
        run_command(config, store) + without(stopped_by),
    )


def _list_runs(place: Store, as_json: bool) -> None:
    from data.resolve import ConfigError
    from flows.live.show import show_json, show_table, tell
    from flows.summary import read_steps, run_row
    from infra.artifacts.runs import known_run, run_names
    from infra.store.store import StoreError

    rows, unreadable = [], []
    for name in run_names(place):
        try:
            config = known_run(place, name)
            steps = read_steps(place, config)
            rows.append(run_row(config, steps, _working(place, steps)))
        except (ConfigError, StoreError) as error:
            unreadable.append(str(error))
    if as_json:
        show_json(rows)
    elif rows:
        tell(f"Runs in {place.uri}")
        say("")
        show_table([_run_cells(row) for row in rows])
        tell("More of one: rzero status NAME")
    else:
        tell(f"there is no run in {place.uri} yet; begin one: rzero run --run NAME")
    for line in unreadable:
        tell(f"rzero: {line}", err=True)


def _run_cells(row: Mapping[str, Any]) -> dict[str, Any]:
    at = "" if row["stage"] is None else f": {row['stage']} of iteration {row['iteration']}"
    return {
        "run": row["run"],
        "preset": row["preset"],
        "iterations": f"{row['finished']} of {row['iterations']}",
        "state": row["state"] + at,
        "pass@1": row["pass@1"],
        "last finished": row["finished_at"],
    }
