"""Folders to hand out: a model or a curriculum of a run, verified, with its card."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from data.config import RunConfig
from data.resolve import ConfigError
from flows.hub.cards import Names, render_card
from flows.hub.harness import check_exportable, write_harness
from flows.summary import finished_artifact, read_steps
from infra.artifacts.artifact import location_of, read_table, table_files
from infra.artifacts.verify import verify
from infra.store.store import Store, StoreError


def export_folder(
    store: Store,
    config: RunConfig,
    iteration: int,
    what: str,
    folder: Path,
    license: str | None = None,
    names: Names = (None, None),
    harness: bool = False,
) -> int:
    """Write a "solver", "challenger" or "curriculum" to a new folder; how many files.

    All but the base model get a card; with `harness` a Solver gets the run's evaluation too. Half a copy is
    never seen under the folder's name. ConfigError where it is unfinished or the folder cannot be written,
    StoreError where a file is not what its manifest says.
    """
    if not 0 <= iteration <= config.iterations:
        raise ConfigError(f"--iteration: {config.run!r} has iterations 0 to {config.iterations}")
    if harness:
        check_exportable(config)
    is_data = what == "curriculum"
    stage = "score_and_filter" if is_data else f"train_{what}" if iteration else "prepare_base_model"
    ref, manifest = finished_artifact(store, config, iteration, stage)
    location = location_of(ref.uri)
    if location is None or (wrong := verify(store, location)):
        raise StoreError(f"{wrong[0] if location else ref.uri}: start the run again to make it anew")
    files = (
        table_files(manifest, what) if is_data else [each for each in manifest.files if "/" not in each.name]
    )
    card = None
    if iteration > 0:
        # What the file says of its columns: another version of rzero may have written it.
        schema = read_table(store, ref, what).schema if is_data else None
        steps = read_steps(store, config, iteration)
        card = render_card(what, config, steps, manifest, files, schema, license, names)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        copy = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise ConfigError(f"--to: {folder} cannot be written: {os.strerror(error.errno or 0)}") from None
    try:
        for file in files:
            target = copy / file.name.rpartition("/")[2]
            store.download(f"{location.path}/{file.name}", target, sha256=file.sha256)
        if card is not None:
            (copy / "README.md").write_text(card, encoding="utf-8")
        if harness:
            write_harness(store, config, iteration, copy)
        copy.chmod(0o755)
        copy.rename(folder)
    except OSError as error:
        shutil.rmtree(copy, ignore_errors=True)
        raise ConfigError(f"--to: {folder} cannot be written: {os.strerror(error.errno or 0)}") from None
    except BaseException:
        shutil.rmtree(copy, ignore_errors=True)
        raise
    return sum(path.is_file() for path in folder.rglob("*"))
