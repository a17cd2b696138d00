"""How many bytes a training and an engine take of each GPU, of a node's memory and of disks.

The training is verl 0.9.1's: FSDP2, master weights in float32, forward and backward in bfloat16, each layer
recomputed in backward. Formulas come from reading the sources that they name; none has met a GPU yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from infra.plan.shape import Shape

Offload = Literal["never", "between_steps", "always"]
"""Where the states are: on the GPU; on the host while rollouts are drawn; on the host always, Adam too."""

GIB = 2**30
_BFLOAT, _FLOAT = 2, 4
_ADAM = 2 * _FLOAT
_GRADIENT = _FLOAT
_WHOLE_LOGITS = 20
"""Bytes an element where logits were kept whole: bfloat16 and its gradient, float32 and its gradient, and the
eight of the entropy's graph."""
_CHUNK, _CHUNK_BYTES = 512, 22
"""Tokens whose logits verl's fused kernel makes at a time, and its bfloat16 and five float32 copies of them
(verl/utils/experimental/torch_functional.py)."""
_RESERVE = 3.5e9
"""CUDA's contexts, NCCL's buffers, the sleeping engine's rest, and what fragments."""
_ENGINE_RESERVE = 2 * GIB
"""vLLM's CUDA graphs, its largest batch of a profile run, and its samplers' logits."""
ASLEEP = 2 * GIB
"""What a sleeping engine keeps of a GPU: its context, CUDA graphs and buffers outside of vLLM's pools."""
_SYNC = 2 * GIB
"""verl's bucket of weights on the way to the engine (`update_weights_bucket_megabytes`), beside a context."""


@dataclass(frozen=True)
class Training:
    """How a training is spread over its GPUs."""

    ranks: int
    """GPUs that share the states."""
    tokens: int
    """Packed into one forward and backward pass of a GPU."""
    offload: Offload = "never"
    lora_rank: int = 0
    has_whole_logits: bool = False
    """As it was before the fused kernel, for comparison."""


def trained(shape: Shape, training: Training) -> int:
    """Parameters that get gradients."""
    return shape.adapters(training.lora_rank) if training.lora_rank else shape.parameters


def states(shape: Shape, training: Training) -> dict[str, float]:
    """Bytes of all states of all ranks together: master weights, gradients, Adam's moments."""
    adapters = shape.adapters(training.lora_rank)
    count = trained(shape, training)
    return {
        "weights": _FLOAT * (shape.parameters + adapters),
        "gradients": _GRADIENT * count,
        "adam": _ADAM * count,
    }


def training_gpu(shape: Shape, training: Training) -> dict[str, float]:
    """Bytes of each training GPU at its fullest, by what takes them.

    The fullest moment is one of three: the head's, a layer's backward, or AdamW's step, whose foreach
    implementation makes one more copy of what it updates.
    """
    on_gpu = training.offload != "always"
    shares = {name: value / training.ranks * on_gpu for name, value in states(shape, training).items()}
    step = _FLOAT * trained(shape, training) / training.ranks * on_gpu
    kept = _BFLOAT * shape.layers * shape.hidden * training.tokens
    root = _BFLOAT * shape.embedding
    head = _head(shape, training)
    layer = _layer(shape, training)
    fullest = max(("logits", head), ("layer", layer), key=lambda item: item[1])
    passes = {"activations": kept, "gathered": root, fullest[0]: fullest[1]}
    if step > sum(passes.values()):
        passes = {"adam_step": step}
    return {**shares, **passes, "reserve": _RESERVE}


def _head(shape: Shape, training: Training) -> float:
    """Logits, probabilities and their gradients; whole, or a chunk at a time."""
    if training.has_whole_logits:
        return _WHOLE_LOGITS * shape.vocabulary * training.tokens
    chunk = _CHUNK_BYTES * shape.vocabulary * min(_CHUNK, training.tokens)
    # The head's gradient is summed in a second copy; under LoRA it has none.
    return chunk + (0 if training.lora_rank else 2 * _BFLOAT * shape.vocabulary * shape.hidden)


def _layer(shape: Shape, training: Training) -> float:
    """One layer recomputed and differentiated, two layers gathered, one layer's gradient on its way.

    A token keeps of a layer, in bfloat16: the inputs of both norms and of the matrices, queries, keys and
    values before and after norm and rotation, attention's output, and the products of the feed-forward part,
    with the gradients of the largest; both norms compute in float32. torch's own attention reads a mask of
    all pairs of tokens (transformers/masking_utils.py), a byte each and two as a bias, forward and backward.
    """
    projected = (shape.heads + 2 * shape.kv_heads) * shape.head_width
    token = _BFLOAT * (8 * shape.hidden + 4 * projected + 5 * shape.inner) + 2 * _FLOAT * shape.hidden
    gradient = 0 if training.lora_rank else (_BFLOAT + _FLOAT) * shape.layer
    gathered = 2 * _BFLOAT * shape.layer + gradient
    root = 0 if training.lora_rank else _BFLOAT * shape.embedding
    return token * training.tokens + 4 * training.tokens**2 + gathered + root


def rollout_gpu(shape: Shape, training: Training) -> dict[str, float]:
    """Bytes that a training holds of a GPU while its engine draws, besides the engine's share."""
    held = ("weights", "adam") if training.offload == "never" else ()
    here = {name: states(shape, training)[name] / training.ranks for name in held}
    return {**here, "reserve": float(_RESERVE), "sync": float(_SYNC)}


def sending_gpu(shape: Shape, training: Training, tensor_parallel: int) -> float:
    """Bytes of a GPU while new weights go to the engine, whose keys and values are not there yet.

    LoRA's weights come back for it, to have the adapters folded in (verl/workers/engine_workers.py).
    """
    back = training.offload == "between_steps" and training.lora_rank > 0
    weights = states(shape, training)["weights"] / training.ranks * back
    held = sum(rollout_gpu(shape, training).values())
    return weights + held + engine_gpu(shape, tensor_parallel)


def loading_gpu(shape: Shape, training: Training) -> float:
    """Bytes of each GPU while the weights come to their ranks, which happens there, offloaded or not.

    The largest matrix is whole on all of them (`fsdp2_load_full_state_dict` in verl/utils/fsdp_utils.py).
    """
    weights = states(shape, training)["weights"] / training.ranks
    return weights + _FLOAT * shape.vocabulary * shape.hidden + GIB


def engine_gpu(shape: Shape, tensor_parallel: int, dtype_bytes: int = _BFLOAT) -> float:
    """Bytes of an engine on each of its GPUs, without keys and values."""
    return dtype_bytes * shape.parameters / tensor_parallel + _ENGINE_RESERVE


def kv_tokens(shape: Shape, tensor_parallel: int, share_bytes: float) -> int:
    """Tokens whose keys and values an engine holds at once in its share of each of its GPUs."""
    free = max(0.0, share_bytes - engine_gpu(shape, tensor_parallel))
    # More GPUs than heads of keys and values hold each of these more than once.
    return int(free * min(tensor_parallel, shape.kv_heads) / shape.kv_bytes_per_token)


def local_gpu(shape: Shape, tokens: int, cache_tokens: int) -> dict[str, float]:
    """Bytes of the one GPU of the trainer `local`, the Solver's sampler beside it; nothing is recomputed."""
    one = Training(1, tokens)
    return {
        **states(shape, one),
        "reference": _FLOAT * shape.parameters,
        "rollouts": _BFLOAT * shape.parameters,
        "solver": _FLOAT * shape.parameters,
        "keys_and_values": shape.kv_bytes_per_token * cache_tokens,
        "activations": shape.layers * _layer(shape, one),
        "reserve": float(GIB),
    }


def host_node(shape: Shape, training: Training, nodes: int, engines: int, has_reference: bool) -> float:
    """Bytes of a node's memory at its fullest: loading the model, training, or merging it at the end.

    The frozen reference lies on the host (verl's FSDP2 offloads whatever is forward only). While it loads, a
    model with a tied head is read whole by every rank in float32, else by the first alone
    (fsdp/transformer_impl.py). The merge holds it once in bfloat16 and twice in float32
    (infra/trainers/verl/merge.py).
    """
    ranks = training.ranks // nodes
    size = _FLOAT * shape.parameters
    reference = size / nodes if has_reference and not training.lora_rank else 0
    loading = size * (ranks if shape.is_tied else 1) + reference
    parts = states(shape, training)
    kept = {"never": 0.0, "between_steps": parts["weights"] + parts["adam"], "always": sum(parts.values())}
    working = kept[training.offload] / nodes + reference
    merging = (_BFLOAT + 2 * _FLOAT) * shape.parameters
    # Of each rank and engine, which are gone when it merges: Python, torch, pinned buffers.
    training_too = max(loading, working) + 3e9 * ranks + 4e9 * engines
    # Ray, the graders and this program.
    return max(training_too, merging) + 8e9


def checkpoint(shape: Shape, training: Training) -> float:
    """Bytes of a checkpoint: master weights and moments of all ranks."""
    parts = states(shape, training)
    return parts["weights"] + parts["adam"]


def work_disk(shape: Shape, training: Training) -> float:
    """Bytes of `trainer.work_folder`: verl keeps two checkpoints."""
    return 2 * checkpoint(shape, training)


def store_disk(shape: Shape, training: Training, iterations: int) -> float:
    """Bytes of the store: the base model, two models an iteration, two checkpoints of a training."""
    return _BFLOAT * shape.parameters * (1 + 2 * iterations) + 2 * checkpoint(shape, training)
