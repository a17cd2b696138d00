"""verl's files of tensors, which are pickles: read as tensors and numbers alone, so that none runs code."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import torch

# Tells torch that what a sharded tensor is made of is safe to load.
import torch.distributed.tensor

from infra.trainers.errors import CheckpointError

_NAMED = re.compile(r"GLOBAL ([\w.]{1,100})")


def load_shard(file: Path) -> Any:
    """What a file holds, its tensors mapped and not read; CheckpointError if it holds anything but data."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError) as error:
        # torch's message goes on for many lines with how to load it in spite of that.
        named = _NAMED.search(str(error))
        raise CheckpointError(
            f"{file.parent.name}/{file.name} does not hold tensors and numbers alone, so it is not loaded: "
            + (f"it names {named[1]}" if named else type(error).__name__)
        ) from None


def check_shards(folder: Path) -> None:
    """CheckpointError unless every file of tensors below a checkpoint's folder can be loaded as such."""
    for file in sorted(folder.rglob("*.pt")):
        load_shard(file)
