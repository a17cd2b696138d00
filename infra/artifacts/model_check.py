"""Whether a directory holds a causal language model, judged by its small files without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class ModelDirectoryError(ValueError):
    """A directory that holds no causal language model with its tokenizer."""


def check_model_directory(model_dir: Path) -> dict[str, Any]:
    """The model's config.json; ModelDirectoryError, in one line, if engines cannot load the directory."""
    config_file = model_dir / "config.json"
    if not config_file.is_file():
        problem = "has no config.json" if model_dir.is_dir() else "is not a directory"
        raise ModelDirectoryError(f"{model_dir} {problem}: a Hugging Face model directory is needed")
    try:
        config = json.loads(config_file.read_text())
    except (OSError, ValueError) as error:
        raise ModelDirectoryError(f"{config_file} cannot be read: {error}") from None
    architectures = config.get("architectures") or []
    if not any(str(name).endswith("ForCausalLM") for name in architectures):
        shown = ", ".join(map(str, architectures)) or config.get("model_type", "nothing known")
        raise ModelDirectoryError(f"{model_dir} holds no causal language model but {shown}")
    if not any(model_dir.glob("*.safetensors")):
        raise ModelDirectoryError(f"{model_dir} has no .safetensors files: engines load no other weights")
    if not any((model_dir / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise ModelDirectoryError(f"{model_dir} has no tokenizer")
    return dict(config)


def longest_context(config: dict[str, Any]) -> int | None:
    """Tokens of prompt and completion that the model was made for; None if it does not say."""
    value = config.get("max_position_embeddings")
    return value if isinstance(value, int) and value > 0 else None
