"""`rzero run`."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

import click

from flows.commands.options import iterations_option, json_option, preset_option, set_option, store_option
from flows.text import all_finished

if TYPE_CHECKING:
    from data.config import RunConfig


@click.command()
@click.option("--run", "run_name", required=True, help="Name of the run; an existing one is resumed.")
@preset_option
@iterations_option
@set_option
@store_option
@json_option
def run(
    run_name: str,
    preset: str | None,
    iterations: int | None,
    overrides: tuple[str, ...],
    store: str | None,
    as_json: bool,
) -> None:
    """Run all iterations of a run, or resume it.

    Finished work is not done again.
    """
    from flows.commands.show import tell
    from flows.errors import resumable_work
    from flows.evolve import evolve
    from flows.start import begin, unfinished_steps
    from infra.store.store import Store

    config = begin(run_name, preset, store, overrides, iterations)
    unfinished = unfinished_steps(config)
    if unfinished:
        first = unfinished[0]
        tell(
            f"rzero: run {config.run}, {config.iterations} iterations of preset {config.preset}, in "
            f"{Store(config.store).uri}; beginning with {first.stage} of iteration {first.iteration}",
            err=True,
        )
        with resumable_work():
            evolve(run=config.run, iterations=config.iterations, store=config.store)
    else:
        tell(f"rzero: run {config.run}: {all_finished(config.iterations)}", err=True)
    _show_results(config, store, as_json)


def _show_results(config: RunConfig, store: str | None, as_json: bool) -> None:
    """The table of results, the gain, the report's path, and what to type next."""
    from flows.commands.report import HINT, can_report, store_report
    from flows.commands.show import show_json, show_table, tell, tell_command
    from flows.commands.summary import gain_line, read_steps, shown_rows, summary_rows
    from infra.store.store import Store

    place = Store(config.store)
    rows = summary_rows(read_steps(place, config))
    if as_json:
        show_json(rows)
        return
    show_table(shown_rows(rows))
    if gain := gain_line(rows):
        tell(gain)
    tell(f"Report: {store_report(place, [config.run])}" if can_report() else f"No report: {HINT}")
    ending = f" --store {shlex.quote(store)}" if store and store != os.environ.get("RZERO_STORE") else ""
    last = f"--iteration {config.iterations}"
    tell_command(f"rzero status {config.run}{ending}", "Next: ")
    tell_command(f"rzero inspect {config.run} {last}{ending}", "      ")
    tell_command(f"rzero export {config.run} {last} --to {config.run}-solver{ending}", "      ")
