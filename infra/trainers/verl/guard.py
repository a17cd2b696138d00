"""What every process of a verl training is held to: verl imports this first, by VERL_USE_EXTERNAL_MODULES.

torch.load takes tensors and numbers alone, although verl asks for whole pickles: a checkpoint may come from a
store that others write to. verl's engines serve HTTP beside the calls through Ray that it uses: they ask for
a key that nobody is told.
"""

from __future__ import annotations

import os
import secrets

os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
# torch looks at it on every load, before what the caller asks for.
os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
os.environ["VLLM_API_KEY"] = secrets.token_urlsafe(32)
