"""`rzero export`."""

from __future__ import annotations

import click

from flows.commands.options import (
    TargetPath,
    iteration_option,
    license_option,
    name_argument,
    open_run,
    store_option,
)
from infra.words import plural


@click.command()
@name_argument
@iteration_option
@click.option("--model", type=click.Choice(["challenger", "solver"]), help="Which model.  [default: solver]")
@click.option("--curriculum", is_flag=True, help="The questions that the Solver trained on, not a model.")
@click.option(
    "--harness",
    type=click.Choice(["lm-eval"]),
    help="Add the run's evaluation of the Solver, as tasks of lm-evaluation-harness.",
)
@click.option("--to", "target", required=True, type=TargetPath(), help="A folder that does not exist yet.")
@license_option
@store_option
def export(
    run_name: str,
    iteration: int,
    model: str | None,
    curriculum: bool,
    harness: str | None,
    target: str,
    license: str | None,
    store: str | None,
) -> None:
    """Copy a model, or a curriculum, to a folder."""
    from pathlib import Path

    from data.resolve import ConfigError
    from flows.hub.folders import export_folder
    from flows.hub.harness import command_of
    from flows.live.show import tell, tell_command

    place, config = open_run(store, run_name)
    folder = Path(target).expanduser()
    if curriculum and model:
        raise ConfigError("--curriculum: it is no model, so leave out --model")
    if harness and (curriculum or model == "challenger"):
        raise ConfigError(
            "--harness: the benchmarks ask the Solver, so leave out --curriculum and --model challenger"
        )
    if folder.exists():
        raise ConfigError(f"--to: {folder} exists already; name a new folder")
    what = "curriculum" if curriculum else model or "solver"
    count = export_folder(place, config, iteration, what, folder, license, harness=bool(harness))
    tell(f"{folder}: {what} of iteration {iteration}, {plural(count, 'file')}")
    if harness:
        tell_command(command_of(config, folder))
