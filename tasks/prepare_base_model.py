"""Iteration 0: the base model, which is the first Challenger and the first Solver."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from data.config import BaseModelConfig, RunConfig
from data.foreign import one_line
from data.tiny.settings import TinyModelConfig
from infra.models.check import ModelDirectoryError, check_model_directory
from infra.models.packaged import PackagedModelError, gguf_of, unpack_model
from infra.scratch import ScratchFolder
from infra.trainers.protocol import Report
from tasks.stage.errors import StageError
from tasks.stage.task import stage
from tasks.stage.training import step_reporter
from tasks.stage.work import Work

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
_MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")


@stage("prepare_base_model")
def prepare_base_model(work: Work) -> None:
    """Bring the base model into the store, from the source that its name says."""
    recipe = work.config.base_model.tiny or TinyModelConfig()
    shown = "loss {loss:.3f}, gradient_norm {gradient_norm:.3f}, learning_rate {learning_rate:.3f}"
    report = step_reporter(work, recipe.training_steps, shown, every=100)
    with ScratchFolder("base") as folder:
        bring_model(work.config, recipe, work.seed, folder, report)
        work.add_model(folder)


def bring_model(config: RunConfig, recipe: TinyModelConfig, seed: int, folder: Path, report: Report) -> None:
    """Write the base model to `folder`: 'tiny' is pre-trained after the recipe, every other one is copied.

    StageError where its source has it not, ModelDirectoryError where it is no causal language model.
    """
    base = config.base_model
    scheme, colon, package = base.name.partition(":")
    if base.name == "tiny":
        from data.tiny.pretrain import pretrain

        pretrain(recipe, seed, folder, config.trainer.threads, report)
    elif scheme + colon == "package:":
        try:
            unpack_model(package, folder)
        except PackagedModelError as error:
            raise StageError(f"base_model.name: {error}") from None
    else:
        _copy_model(base, folder)


def _copy_model(base: BaseModelConfig, folder: Path) -> None:
    """Copy a local model directory, or what the Hugging Face hub has under this name."""
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
