"""Completions from a model in memory and its tokenizer: the decode loop's tokens with their texts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from infra.samplers.decoding.loop import decode
from infra.samplers.protocol import Completion, SamplingParams
from infra.samplers.texts import completion_texts, pad_token_id

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def complete(
    model: PreTrainedModel,
    tokenizer: Any,
    prompt_ids: Sequence[Sequence[int]],
    params: SamplingParams,
    seeds: Sequence[int],
    end_tokens: Collection[int],
    batch_tokens: int,
) -> list[list[Completion]]:
    """For each prompt its `params.samples` completions, in order; see `decode`."""
    pad = pad_token_id(tokenizer, end_tokens)
    decoded = decode(model, prompt_ids, params, seeds, end_tokens, pad, batch_tokens)
    token_ids = [one.token_ids for group in decoded for one in group]
    texts = iter(completion_texts(tokenizer, token_ids, end_tokens))
    return [
        [Completion(next(texts), tuple(one.token_ids), one.finish_reason, seed, len(ids)) for one in group]
        for group, ids, seed in zip(decoded, prompt_ids, seeds, strict=True)
    ]
