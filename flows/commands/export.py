"""`rzero export`."""

from __future__ import annotations

import click

from flows.commands.options import TargetPath, iteration_option, name_argument, open_run, store_option
from flows.text import say


@click.command()
@name_argument
@iteration_option
@click.option("--model", type=click.Choice(["challenger", "solver"]), default="solver", show_default=True)
@click.option("--to", "target", required=True, type=TargetPath(), help="A folder that does not exist yet.")
@store_option
def export(run_name: str, iteration: int, model: str, target: str, store: str | None) -> None:
    """Copy a trained model to a Hugging Face directory."""
    import os
    from pathlib import Path

    from data.resolve import ConfigError
    from flows.commands.summary import finished_artifact

    place, config = open_run(store, run_name)
    folder = Path(target).expanduser()
    if folder.exists():
        raise ConfigError(f"--to: {folder} exists already")
    if not 0 <= iteration <= config.iterations:
        raise ConfigError(f"--iteration: {run_name!r} has iterations 0 to {config.iterations}")
    stage = "prepare_base_model" if iteration == 0 else f"train_{model}"
    ref, manifest = finished_artifact(place, config, iteration, stage)
    files = [file for file in manifest.files if "/" not in file.name]
    partial = folder.with_name(folder.name + ".partial")
    for file in files:
        place.download(f"{place.path_of(ref.uri)}/{file.name}", partial / file.name, sha256=file.sha256)
    try:
        partial.rename(folder)
    except OSError as error:
        raise ConfigError(f"--to: {folder} cannot be written: {os.strerror(error.errno or 0)}") from None
    say(f"{folder}: {model} of iteration {iteration}, {len(files)} files")
