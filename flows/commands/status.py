"""`rzero status`."""

from __future__ import annotations

import click

from flows.commands.options import json_option, name_argument, open_run, store_option


@click.command()
@name_argument
@store_option
@json_option
def status(run_name: str, store: str | None, as_json: bool) -> None:
    """Show what is finished of a run, with times and key figures."""
    from flows.commands.show import show_json, show_table
    from flows.commands.summary import read_steps, status_rows

    place, config = open_run(store, run_name)
    rows = status_rows(read_steps(place, config))
    if as_json:
        show_json(rows)
        return
    shown = [{key: row[key] for key in ("iteration", "stage", "state", "seconds", "figures")} for row in rows]
    show_table(shown, f"{run_name} ({config.preset}) in {place.uri}")
