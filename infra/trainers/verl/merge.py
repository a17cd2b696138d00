"""FSDP's shards and LoRA's adapters back into the weights of a Hugging Face model; runs where torch is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from infra.trainers.folders import quiet, write_model
from infra.trainers.verl.shards import load_shard

_PEFT_PREFIX = "base_model.model."
_BASE, _DOWN, _UP = ".base_layer.weight", ".lora_A.default.weight", ".lora_B.default.weight"


def write_merged(actor: Path, source: Path, target: Path, lora_scale: float) -> None:
    """Write the trained model of verl's `actor` folder as a directory like `source`, in its dtype."""
    from transformers import AutoModelForCausalLM

    with quiet():
        model: Any = AutoModelForCausalLM.from_pretrained(source, dtype="auto", local_files_only=True)
    stored = model.dtype
    # The master weights are float32: rounded once, at the end, to what the directory holds.
    weights = plain_weights(gathered_weights(actor), lora_scale)
    model.to(torch.float32)
    own = set(model.state_dict())
    # Weights that are tied to others are not always in the shards.
    tied = getattr(model, "_tied_weights_keys", None) or {}
    missing = own - set(weights) - set(tied)
    if missing or set(weights) - own:
        raise ValueError(
            f"{actor}: the trained weights are not the model's: missing {sorted(missing)[:3]}, "
            f"unknown {sorted(set(weights) - own)[:3]}"
        )
    model.load_state_dict(weights, strict=False)
    write_model(model, stored, source, target)


def gathered_weights(actor: Path) -> dict[str, torch.Tensor]:
    """The whole weights, float32, by name, from the files of all ranks."""
    files = sorted(actor.glob("model_world_size_*_rank_*.pt"), key=lambda path: int(path.stem.split("_")[-1]))
    if not files:
        raise FileNotFoundError(f"{actor} has no shards of a model")
    ranks = [load_shard(file) for file in files]
    return {name: _whole([rank.pop(name) for rank in ranks]) for name in list(ranks[0])}


def _whole(shards: Sequence[Any]) -> torch.Tensor:
    placements = getattr(shards[0], "placements", None)
    if placements is None:
        return shards[0].detach().float()
    (placement,) = placements
    locals_ = [shard._local_tensor.detach().float() for shard in shards]
    if placement.is_replicate():
        return locals_[0]
    return torch.cat(locals_, dim=placement.dim).reshape(shards[0].shape)


def plain_weights(weights: Mapping[str, torch.Tensor], lora_scale: float) -> dict[str, torch.Tensor]:
    """Adapters folded into their matrices, W + scale · B A, and PEFT's names undone; others as they are."""
    plain = {}
    for name, value in weights.items():
        if name.endswith((_DOWN, _UP)):
            continue
        if name.endswith(_BASE):
            stem = name.removesuffix(_BASE)
            value = value + lora_scale * (weights[stem + _UP] @ weights[stem + _DOWN])
            name = stem + ".weight"
        name = name.replace(".base_layer.", ".")
        plain[name.removeprefix(_PEFT_PREFIX)] = value
    return plain
