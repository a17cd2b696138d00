"""`rzero export`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from flows.commands.options import TargetPath, iteration_option, name_argument, open_run, store_option

if TYPE_CHECKING:
    from pathlib import Path

    from infra.artifacts.artifact import Location
    from infra.store.store import Store


@click.command()
@name_argument
@iteration_option
@click.option("--model", type=click.Choice(["challenger", "solver"]), default="solver", show_default=True)
@click.option("--to", "target", required=True, type=TargetPath(), help="A folder that does not exist yet.")
@store_option
def export(run_name: str, iteration: int, model: str, target: str, store: str | None) -> None:
    """Copy a trained model to a Hugging Face directory."""
    from pathlib import Path

    from data.resolve import ConfigError
    from flows.live.show import tell
    from flows.summary import find_step

    place, config = open_run(store, run_name)
    folder = Path(target).expanduser()
    if folder.exists():
        raise ConfigError(f"--to: {folder} exists already")
    if not 0 <= iteration <= config.iterations:
        raise ConfigError(f"--iteration: {run_name!r} has iterations 0 to {config.iterations}")
    stage = "prepare_base_model" if iteration == 0 else f"train_{model}"
    step = find_step(place, config, iteration, stage).step
    if step.ref is None or step.location is None:
        raise ConfigError(f"{stage} of iteration {iteration} of {run_name!r} is not finished")
    count = _copy(place, step.location, folder)
    tell(f"{folder}: {model} of iteration {iteration}, {count} files")


def _copy(store: Store, location: Location, folder: Path) -> int:
    """Copy the files that the manifest lists; how many. Half a copy is never seen under the name."""
    import os
    import shutil
    import tempfile
    from pathlib import Path

    from data.resolve import ConfigError
    from infra.artifacts.artifact import read_manifest
    from infra.artifacts.verify import verify
    from infra.store.store import StoreError

    manifest = read_manifest(store, location)
    if (wrong := verify(store, location)) or manifest is None:
        raise StoreError(f"{wrong[0] if wrong else location.path}: start the run again to make it anew")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        copy = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise ConfigError(f"--to: {folder} cannot be written: {os.strerror(error.errno or 0)}") from None
    try:
        files = [file for file in manifest.files if "/" not in file.name]
        for file in files:
            store.download(f"{location.path}/{file.name}", copy / file.name, sha256=file.sha256)
        copy.chmod(0o755)
        copy.rename(folder)
    except OSError as error:
        shutil.rmtree(copy, ignore_errors=True)
        raise ConfigError(f"--to: {folder} cannot be written: {os.strerror(error.errno or 0)}") from None
    except BaseException:
        shutil.rmtree(copy, ignore_errors=True)
        raise
    return len(files)
