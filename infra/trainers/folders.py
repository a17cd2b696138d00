"""Hugging Face directories: what a training copies from its model and what it writes itself."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_KEPT_SUFFIXES = {".json", ".jinja", ".txt", ".model", ".tiktoken"}
_KEPT_NAMES = ("LICENSE", "NOTICE")


def copy_model(source: Path, target: Path) -> None:
    """Copy the model unchanged, without the files that the store added."""
    target.mkdir(parents=True, exist_ok=True)
    for file in _files(source):
        shutil.copyfile(file, target / file.name)


def write_model(model: Any, stored: torch.dtype, source: Path, target: Path) -> None:
    """Write the model's weights in the dtype `stored`, and copy everything else from `source`.

    Training changes neither the architecture nor the tokenizer, so config, generation config, tokenizer
    and chat template are the source's byte for byte. Changes the model's dtype in place.
    """
    target.mkdir(parents=True, exist_ok=True)
    with quiet():
        model.to(stored).save_pretrained(target)
    for written in target.glob("*config.json"):
        written.unlink()
    for file in _files(source):
        described = file.suffix in _KEPT_SUFFIXES and not file.name.endswith(".index.json")
        if described or file.name.startswith(_KEPT_NAMES):
            shutil.copyfile(file, target / file.name)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide the progress bars of transformers; a stage reports its own progress."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _files(folder: Path) -> list[Path]:
    # The store's own files begin with an underscore (_manifest.json), hidden ones with a dot.
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] not in "._")
