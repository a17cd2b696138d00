"""Whether a training fits its GPUs, and how: offloading, size of passes, GPUs an engine spans.

What is chosen decides nothing but speed and rounding; LoRA, which does, is never chosen but only named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from data.config import LONGEST_PROMPT_TOKENS
from infra.jobs.errors import DeviceSetupError
from infra.plan.memory import (
    GIB,
    Offload,
    Training,
    engine_gpu,
    host_node,
    kv_tokens,
    loading_gpu,
    rollout_gpu,
    sending_gpu,
    training_gpu,
)
from infra.plan.shape import Shape

if TYPE_CHECKING:
    from data.backends import VerlTrainerConfig
    from data.config import GrpoConfig

_USABLE = 0.95
"""Of a GPU; passes are balanced by work and not by tokens, so one may be larger than its share."""
_LORA_RANK = 32
_SIZES_GIB, _COUNTS = (40, 80, 141), (2, 4, 8, 16)


class DoesNotFit(DeviceSetupError):
    """A layout that cannot fit; the message says what is short."""


@dataclass(frozen=True)
class Room:
    """What a training finds."""

    gpu_bytes: float
    """Of each of its GPUs, all of it."""
    taken_bytes: float = 0.0
    """Of each, by others, all the time."""
    host_bytes: float | None = None
    """Of each node; None: not known, taken as enough."""
    waking_bytes: float = 0.0
    """Of each GPU, by the frozen Solver that sleeps but while rollouts are drawn and scored."""


@dataclass(frozen=True)
class Layout:
    """A training that fits, and what it takes."""

    training: Training
    tensor_parallel: int
    micro_batch_size: int
    parts: dict[str, float]
    """Bytes of a GPU at its fullest, by what takes them."""
    drawing_bytes: float
    """Of a GPU while rollouts are drawn and scored, engines and others included."""
    kv_tokens: int
    """Tokens that the engines of a GPU hold while they draw."""
    host_bytes: float


def packed_tokens(config: GrpoConfig, longest: int) -> int:
    """Tokens in one pass of a GPU: those of `micro_batch_size` whole completions, or the longest sequence.

    Fixed by the configuration, so that one long prompt does not take more memory for every pass.
    """
    return max(longest, config.micro_batch_size * config.max_tokens)


def fitted(
    shape: Shape, config: GrpoConfig, trainer: VerlTrainerConfig, ranks: int, nodes: int, room: Room
) -> Layout:
    """The fastest layout that fits; DoesNotFit with what is short of the most sparing one.

    States stay on the GPUs if they can, then leave them while rollouts are drawn, then altogether; engines
    span more GPUs only if one does not hold them; passes get shorter last.
    """
    problem = ""
    for layout in _layouts(shape, config, trainer, ranks, nodes, room):
        found = _problem(shape, layout, trainer, _longest(shape, config, trainer), room)
        if found is None:
            return layout
        problem = found
    raise DoesNotFit(problem)


def explained(
    shape: Shape,
    config: GrpoConfig,
    trainer: VerlTrainerConfig,
    ranks: int,
    nodes: int,
    room: Room,
    problem: str,
) -> str:
    """The problem, with what would fit instead."""

    def fits(ranks: int = ranks, room: Room = room, **other: int) -> bool:
        try:
            fitted(shape, config, trainer.model_copy(update=other), ranks, nodes, room)
        except DoesNotFit:
            return False
        return True

    taken, waking = room.taken_bytes / room.gpu_bytes, room.waking_bytes / room.gpu_bytes
    sizes = [size for size in _SIZES_GIB if size * GIB > 1.1 * room.gpu_bytes]
    larger = [
        replace(room, gpu_bytes=size * GIB, taken_bytes=taken * size * GIB, waking_bytes=waking * size * GIB)
        for size in sizes
    ]
    more = [count for count in _COUNTS if count > ranks]
    ways = []
    if not trainer.lora_rank and fits(lora_rank=_LORA_RANK):
        ways.append("LoRA (--preset PRESET+lora)")
    ways += [f"{count} training GPUs" for count in more if fits(count)][:1]
    ways += [f"GPUs of {size} GiB" for size, there in zip(sizes, larger, strict=True) if fits(room=there)][:1]
    return f"{problem}; what fits: {' or '.join(ways) or 'a smaller model'}"


def _longest(shape: Shape, config: GrpoConfig, trainer: VerlTrainerConfig) -> int:
    """Tokens of the longest sequence to expect."""
    asked = trainer.context_tokens or LONGEST_PROMPT_TOKENS + config.max_tokens
    return min(asked, shape.longest_context)


def _layouts(
    shape: Shape, config: GrpoConfig, trainer: VerlTrainerConfig, ranks: int, nodes: int, room: Room
) -> Iterator[Layout]:
    """All layouts that the configuration leaves open, the fastest first."""
    longest = _longest(shape, config, trainer)
    sizes = [config.micro_batch_size]
    while sizes[-1] > 1 and packed_tokens(config, longest) > longest:
        sizes.append(sizes[-1] // 2)
        config = config.model_copy(update={"micro_batch_size": sizes[-1]})
    offloads: list[Offload] = ["never", "between_steps", *(() if trainer.lora_rank else ("always",))]
    of_a_node = ranks // nodes
    spans = [
        count
        for count in range(trainer.tensor_parallel, of_a_node + 1)
        if of_a_node % count == 0 and shape.heads % count == 0
    ]
    for offload in offloads if trainer.offload is None else [trainer.offload]:
        for span in spans or [trainer.tensor_parallel]:
            for size in sizes:
                tokens = packed_tokens(config.model_copy(update={"micro_batch_size": size}), longest)
                training = Training(ranks, tokens, offload, trainer.lora_rank)
                engine = trainer.gpu_memory_share * room.gpu_bytes
                held = sum(rollout_gpu(shape, training).values())
                yield Layout(
                    training,
                    span,
                    size,
                    training_gpu(shape, training)
                    | ({"others": room.taken_bytes} if room.taken_bytes else {}),
                    held + engine + max(room.taken_bytes, room.waking_bytes),
                    kv_tokens(shape, span, engine),
                    host_node(shape, training, nodes, of_a_node // span, config.kl_coefficient > 0),
                )


def _problem(
    shape: Shape, layout: Layout, trainer: VerlTrainerConfig, longest: int, room: Room
) -> str | None:
    """What is short in a layout, None where nothing is."""
    usable, share = _USABLE * room.gpu_bytes, trainer.gpu_memory_share * room.gpu_bytes
    taken = room.taken_bytes
    ranks = layout.training.ranks
    of_gpus = (
        f"of {'the GPU' if ranks == 1 else f'each of {ranks} GPUs'}, which has {_gib(room.gpu_bytes)} GiB"
    )
    engine = engine_gpu(shape, layout.tensor_parallel)
    needs = {
        "training": sum(layout.parts.values()),
        "loading the model": loading_gpu(shape, layout.training) + taken,
        "sending weights to the engine": sending_gpu(shape, layout.training, layout.tensor_parallel) + taken,
    }
    for what, need in needs.items():
        if need > usable:
            return f"{what} takes {_gib(need - taken)} GiB{_beside(taken)} {of_gpus}"
    if layout.kv_tokens < longest:
        sequence = shape.kv_bytes_per_token * longest / layout.tensor_parallel
        return (
            f"the engine of the rollouts takes {_gib(engine + sequence)} GiB with one sequence, its share "
            f"(trainer.gpu_memory_share) is {_gib(share)} GiB {of_gpus}"
        )
    if layout.drawing_bytes > room.gpu_bytes:
        awake = max(taken, room.waking_bytes)
        return f"drawing rollouts takes {_gib(layout.drawing_bytes - awake)} GiB{_beside(awake)} {of_gpus}"
    if room.host_bytes is not None and layout.host_bytes > room.host_bytes:
        return f"a node needs {_gib(layout.host_bytes)} GiB of memory and has {_gib(room.host_bytes)}"
    return None


def _beside(others: float) -> str:
    return f" beside {_gib(others)} GiB of others" if others else ""


def _gib(count: float) -> str:
    return f"{count / GIB:.0f}"
