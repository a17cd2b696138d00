"""From rollouts to tensors: mini-batches of whole groups, micro-batches packed or of like length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from infra.trainers.packing import Packing, pack
from infra.trainers.sequences import Sequences


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Rollouts of one forward pass. T is the number of their completion tokens, packed row after row."""

    input_ids: torch.Tensor
    """[rows, length], padded on the right, or packed, [1, tokens] (see `infra.trainers.packing`); the last
    sampled token predicts nothing and is left out."""
    positions: torch.Tensor
    """[T] index into the flattened [rows * length] outputs: what predicts each completion token."""
    targets: torch.Tensor
    """[T] the completion tokens."""
    advantages: torch.Tensor
    """[T] float32, the advantage of the rollout that a token belongs to."""
    clip_highs: torch.Tensor | None = None
    """[T] float32, the upper clip of that rollout; None where no rollout has its own."""
    hidden: torch.Tensor | None = None
    """bool [vocabulary], the tokens that were out of reach when the rollouts were drawn; None: none."""
    packing: Packing | None = None


def mini_batches(groups: int, group_size: int, updates: int) -> list[range]:
    """The rollouts of each optimiser update, whole groups in order, sizes differing by at most a group."""
    edges = [round(number * groups / updates) * group_size for number in range(updates + 1)]
    return [range(first, last) for first, last in pairwise(edges)]


def micro_batches(
    sequences: Sequence[Sequences],
    advantages: Sequence[float],
    members: Sequence[int],
    size: int,
    pad_token_id: int,
    device: torch.device,
    hidden: torch.Tensor | None = None,
    packed: bool = False,
) -> list[MicroBatch]:
    """The rollouts numbered `members` in micro-batches of at most `size`.

    `packed` ones take them in order, so that prompts are shared; padded ones sorted by length.
    """
    order = list(members) if packed else sorted(members, key=lambda n: (_length(sequences[n]), n))
    parts = [order[first : first + size] for first in range(0, len(order), size)]
    return [
        _micro_batch(
            [sequences[number] for number in part],
            [advantages[number] for number in part],
            pad_token_id,
            device,
            hidden,
            packed,
        )
        for part in parts
    ]


def _length(sequence: Sequences) -> int:
    return len(sequence.prompt) + len(sequence.completion) - 1


def _micro_batch(
    rows: Sequence[Sequences],
    advantages: Sequence[float],
    pad_token_id: int,
    device: torch.device,
    hidden: torch.Tensor | None,
    packed: bool,
) -> MicroBatch:
    ids, positions, packing = pack(rows, device) if packed else (*_padded(rows, pad_token_id), None)
    targets: list[int] = []
    weights: list[float] = []
    clips: list[float] = []
    for row, advantage in zip(rows, advantages, strict=True):
        targets += row.completion
        weights += [advantage] * len(row.completion)
        if row.clip_high is not None:
            clips += [row.clip_high] * len(row.completion)
    return MicroBatch(
        input_ids=torch.tensor(ids, device=device).view(1 if packed else len(rows), -1),
        positions=torch.tensor(positions, device=device),
        targets=torch.tensor(targets, device=device),
        advantages=torch.tensor(weights, dtype=torch.float32, device=device),
        clip_highs=torch.tensor(clips, dtype=torch.float32, device=device) if clips else None,
        hidden=hidden,
        packing=packing,
    )


def _padded(rows: Sequence[Sequences], pad_token_id: int) -> tuple[list[int], list[int]]:
    """The tokens of all rows at one length, and which of them predict the completions' tokens."""
    width = max(_length(row) for row in rows)
    ids: list[int] = []
    positions: list[int] = []
    for number, row in enumerate(rows):
        first = number * width + len(row.prompt) - 1
        ids += [*row.prompt, *row.completion[:-1], *[pad_token_id] * (width - _length(row))]
        positions += range(first, first + len(row.completion))
    return ids, positions
