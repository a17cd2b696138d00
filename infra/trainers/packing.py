"""Rollouts of one forward pass end to end in one row: each prompt once, and no padding but inside attention.

Rollouts of a group share their prompt, and differ in length. In padded rows every layer computes each
prompt over and over, and the padding; here only attention sees rows, which it gathers from the packed tokens.
A token gets what it would get in a row of its own, but for rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from infra.trainers.folders import quiet
from infra.trainers.sequences import Sequences

ROWS_AT_ONCE = 16
"""Rows of like length that attention computes together: fewer have less padding, more need fewer calls."""
_OTHER_ATTENTION = ("sliding_window", "softcap", "s_aux")
"""What models ask of their attention beside plain attention; None where they do not."""


class NotPlainAttention(Exception):
    """The model asks for more than plain attention."""


class _Span(NamedTuple):
    """A row of attention: `length` tokens from `first` on, behind the `prompt_length` from `prompt` on."""

    length: int
    first: int
    prompt: int
    prompt_length: int


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of attention: L is the most tokens of one, P the most tokens of a prompt before one."""

    queries: torch.Tensor
    """[rows, L] the packed tokens of each row; behind its end its first again, whose answer is not read."""
    keys: torch.Tensor
    """[rows, P + L] the packed tokens of its prompt, padded alike, then those of `queries`."""
    visible: torch.Tensor
    """[rows, 1, L, P + L] bool: which of the keys a query sees."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How attention finds the rows among the packed tokens, which are as many as T."""

    position_ids: torch.Tensor
    """[1, T] place of each token in its own sequence."""
    rows: tuple[Rows, ...]
    answers: torch.Tensor
    """[T] where the answer to each token stands among those of all rows, one after the other."""


def pack(sequences: Sequence[Sequences], device: torch.device) -> tuple[list[int], list[int], Packing]:
    """The packed tokens, which of them predict the completions' tokens, one after the other, and the packing.

    Each prompt comes once, before all completions; the last token of these predicts nothing and is left out.
    """
    tokens: list[int] = []
    places: list[int] = []
    predictors: list[int] = []
    prompts: dict[tuple[int, ...], _Span] = {}
    completions: list[_Span] = []
    for sequence in sequences:
        prompt = sequence.prompt
        if prompt not in prompts:
            prompts[prompt] = _Span(len(prompt), len(tokens), 0, 0)
            tokens += prompt
            places += range(len(prompt))
    for sequence in sequences:
        length, start, _, _ = prompts[sequence.prompt]
        span = _Span(len(sequence.completion) - 1, len(tokens), start, length)
        tokens += sequence.completion[:-1]
        places += range(length, length + span.length)
        predictors += [start + length - 1, *range(span.first, span.first + span.length)]
        completions.append(span)
    rows: list[Rows] = []
    answers, answered = torch.empty(len(tokens), dtype=torch.int64), 0
    for spans in (sorted(prompts.values()), sorted(span for span in completions if span.length)):
        for first in range(0, len(spans), ROWS_AT_ONCE):
            part, own = _rows(spans[first : first + ROWS_AT_ONCE])
            answers[part.queries[own]] = answered + own.flatten().nonzero().squeeze(1)
            answered += own.numel()
            rows.append(Rows(part.queries.to(device), part.keys.to(device), part.visible.to(device)))
    return tokens, predictors, Packing(torch.tensor([places], device=device), tuple(rows), answers.to(device))


def _rows(spans: Sequence[_Span]) -> tuple[Rows, torch.Tensor]:
    """The spans as rows, and which of their queries [rows, L] are no padding."""
    lengths, firsts, prompts, prompt_lengths = torch.tensor(spans).unsqueeze(-1).unbind(1)
    steps, prompt_steps = torch.arange(int(lengths.max())), torch.arange(int(prompt_lengths.max()))
    own, read = steps < lengths, prompt_steps < prompt_lengths
    queries = firsts + steps * own
    keys = torch.cat([prompts + prompt_steps * read, queries], dim=1)
    size = len(spans), len(steps)
    causal = (steps <= steps.unsqueeze(1)).expand(*size, -1)
    visible = torch.cat([read.unsqueeze(1).expand(*size, -1), causal], dim=2)
    return Rows(queries, keys, visible.unsqueeze(1)), own


def hidden_states(model: Any, input_ids: torch.Tensor, packing: Packing | None) -> torch.Tensor:
    """The last hidden states: of packed tokens [1, T] where there is a packing, else of rows [rows, length].

    Packed tokens need a model of `for_packing`. The padding of rows stands on the right, where no earlier
    token attends to it: no mask is needed.
    """
    packed = {} if packing is None else {"position_ids": packing.position_ids, "packing": packing}
    states: torch.Tensor = model.base_model(input_ids=input_ids, use_cache=False, **packed).last_hidden_state
    return states


@cache
def _registered_name() -> str:
    from transformers import AttentionInterface

    AttentionInterface.register("rzero_packed", _attend)
    return "rzero_packed"


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    packing: Packing | None = None,
    **asked: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention, within the packing's rows: [1, heads, T, size] in, [1, T, heads, size] out."""
    if any(asked.get(name) is not None for name in _OTHER_ATTENTION):
        raise NotPlainAttention
    shared: dict[str, Any] = {"scale": scaling, "enable_gqa": query.shape[1] != key.shape[1]}
    if packing is None:
        plain = functional.scaled_dot_product_attention(query, key, value, is_causal=True, **shared)
        return plain.transpose(1, 2), None
    answers = []
    for rows in packing.rows:
        answer = functional.scaled_dot_product_attention(
            _gathered(query, rows.queries),
            _gathered(key, rows.keys),
            _gathered(value, rows.keys),
            attn_mask=rows.visible,
            **shared,
        )
        answers.append(answer.transpose(1, 2).flatten(2).flatten(0, 1))
    of_tokens = functional.embedding(packing.answers, torch.cat(answers))
    return of_tokens.unflatten(1, (query.shape[1], -1)).unsqueeze(0), None


def _gathered(states: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """From [1, heads, T, size] the tokens `index` [rows, length] as [rows, heads, length, size]."""
    by_token = states[0].transpose(0, 1)
    # Not index_select, whose backward pass goes row by row.
    return functional.embedding(index, by_token.flatten(1)).unflatten(2, by_token.shape[1:]).transpose(1, 2)


@torch.no_grad()
def for_packing(model: Any, device: torch.device) -> Any:
    """The model, with the very same parameters, as one that takes packed tokens too.

    None where these would not get what they get in rows of their own, since more than plain attention passes
    from token to token.
    """
    twin = copy.deepcopy(model, {id(parameter): parameter for parameter in model.parameters()})
    sequences = [Sequences((1, 2, 3), (2, 1, 3)), Sequences((1, 2, 3), (3, 3)), Sequences((2,), (1, 2, 3, 1))]
    tokens, predictors, packing = pack(sequences, device)
    try:
        with quiet():
            twin.set_attn_implementation(_registered_name())
        packed = hidden_states(twin, torch.tensor([tokens], device=device), packing)[0, predictors]
    except (NotPlainAttention, TypeError, ValueError):
        return None
    alone = []
    for sequence in sequences:
        ids = torch.tensor([[*sequence.prompt, *sequence.completion[:-1]]], device=device)
        alone.append(hidden_states(model, ids, None)[0, len(sequence.prompt) - 1 :])
    return twin if torch.allclose(packed, torch.cat(alone), rtol=1e-4, atol=1e-5) else None
