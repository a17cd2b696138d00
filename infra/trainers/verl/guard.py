"""What every process of a verl training is held to: verl imports this first, by VERL_USE_EXTERNAL_MODULES.

torch.load reads tensors and numbers alone from files, although verl asks for whole pickles: a checkpoint may
come from a store that others write to. What lies in memory came through Ray, which pickles everything.
"""

from __future__ import annotations

import functools
import io
from typing import Any

import torch

_load = torch.load


@functools.wraps(_load)
def _load_data(f: Any, *arguments: Any, **named: Any) -> Any:
    if not isinstance(f, io.BytesIO):
        named["weights_only"] = True
    return _load(f, *arguments, **named)


torch.load = torch.serialization.load = _load_data
