"""`rzero run`."""

from __future__ import annotations

import click

from flows.commands.options import iterations_option, json_option, preset_option, set_option, store_option
from flows.text import all_finished
from infra.words import plural


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
    from flows.commands.results import run_command, show_ending
    from flows.errors import resumable_work
    from flows.evolve import evolve
    from flows.live.show import tell
    from flows.live.told import beginning
    from flows.start import begin, unfinished_steps
    from infra.store.store import Store

    config = begin(run_name, preset, store, overrides, iterations)
    unfinished = unfinished_steps(config)
    if unfinished:
        tell(
            f"rzero: run {config.run}, {plural(config.iterations, 'iteration')} of preset {config.preset}, "
            f"in {Store(config.store).uri}; {beginning(config, unfinished)}",
            err=True,
        )
        with resumable_work(f"to go on: {run_command(config, store)}"):
            evolve(run=config.run, iterations=config.iterations, store=config.store)
    else:
        tell(f"rzero: run {config.run}: {all_finished(config.iterations)}: nothing to do", err=True)
    show_ending(config, store, as_json)
