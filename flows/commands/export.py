"""`rzero export`."""

from __future__ import annotations

from pathlib import Path

from data.config import RunConfig
from data.resolve import ConfigError
from infra.artifacts.artifact import read_manifest
from infra.store.store import Store
from tasks.stage.graph import walk


def export_command(store: Store, config: RunConfig, iteration: int, model: str, target: str) -> str:
    """Copy the files of a model to a new folder; what to say. Raises ConfigError."""
    folder = Path(target).expanduser()
    if folder.exists():
        raise ConfigError(f"--to: {folder} exists already")
    if not 0 <= iteration <= config.iterations:
        raise ConfigError(f"--iteration: {config.run!r} has iterations 0 to {config.iterations}")
    stage = "prepare_base_model" if iteration == 0 else f"train_{model}"
    steps = walk(store, config, iteration)
    step = next(step for step in steps if step.iteration == iteration and step.stage == stage)
    if step.location is None or step.ref is None:
        raise ConfigError(f"{stage} of iteration {iteration} of {config.run!r} is not finished")
    manifest = read_manifest(store, step.location)
    assert manifest is not None
    digests = {file.name: file.sha256 for file in manifest.files if "/" not in file.name}
    partial = folder.with_name(folder.name + ".partial")
    for name in digests:
        store.download(f"{step.location.path}/{name}", partial / name, sha256=digests[name])
    partial.rename(folder)
    return f"{folder}: {model} of iteration {iteration}, {len(digests)} files"
