"""The batched decode loop over a transformers causal language model in memory.

Prompts are sorted by length and run in batches: each prompt once, its keys and values then repeated for
its samples, one token a row at a time, rows dropped as they finish. On a CPU each thread draws batches of its
own: a small model's operations are too short to be shared out one by one.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch

from infra.machine.memory import OutOfMemory, free_memory, is_out_of_memory
from infra.samplers.decoding.drawing import draw, row_keys, uniforms
from infra.samplers.decoding.keyvalue import KeyValueCache, has_plain_attention
from infra.samplers.decoding.vocabulary import hidden_tokens
from infra.samplers.protocol import Completion, SamplingParams, check_prompts
from infra.samplers.texts import completion_texts, pad_token_id

if TYPE_CHECKING:
    from transformers import PreTrainedModel

COMPACT_BELOW = 0.75
"""Finished rows are dropped once the others are a smaller share than this, since dropping means copying."""


@dataclass
class Room:
    """Most tokens (rows times length) whose keys and values are held at once; fewer once memory ran out."""

    tokens: int

    def rows(self, length: int) -> int:
        """Most rows of so many tokens; at least one."""
        return max(1, self.tokens // length)


class Decoded(NamedTuple):
    """The drawn tokens, the one that ended them included, and why they ended."""

    token_ids: list[int]
    finish_reason: Literal["stop", "length"]


class _Row(NamedTuple):
    """One completion to draw: which prompt, and which of its samples."""

    prompt: int
    sample: int


def complete(
    model: PreTrainedModel,
    tokenizer: Any,
    prompt_ids: Sequence[Sequence[int]],
    params: SamplingParams,
    seeds: Sequence[int],
    end_tokens: Collection[int],
    room: Room,
) -> list[list[Completion]]:
    """For each prompt its `params.samples` completions, in order; see `decode`."""
    pad = pad_token_id(tokenizer, end_tokens)
    hidden = hidden_tokens(params.dropout, model, tokenizer, end_tokens)
    decoded = decode(model, prompt_ids, params, seeds, end_tokens, pad, room, hidden)
    token_ids = [one.token_ids for group in decoded for one in group]
    texts = iter(completion_texts(tokenizer, token_ids, end_tokens))
    return [
        [Completion(next(texts), tuple(one.token_ids), one.finish_reason, seed, len(ids)) for one in group]
        for group, ids, seed in zip(decoded, prompt_ids, seeds, strict=True)
    ]


def decode(
    model: PreTrainedModel,
    prompt_ids: Sequence[Sequence[int]],
    params: SamplingParams,
    seeds: Sequence[int],
    eos_token_ids: Collection[int],
    pad_token_id: int,
    room: Room,
    hidden: torch.Tensor | None = None,
) -> list[list[Decoded]]:
    """For each prompt its `params.samples` completions, in order.

    `seeds` has one a prompt; a token is a function of its row's logits and of (seed, sample, position),
    so a prompt's completions depend on the rest of the call through rounding alone. The batches that run side
    by side (on a CPU one for each of torch's threads) share the `room` for rows times (prompt + max_tokens),
    but each has at least one row. `pad_token_id` fills the left of shorter prompts, where the mask hides it.
    A completion that reaches the model's longest position ends there with 'length'. The model is in
    evaluation mode during the call. If a batch does not fit into the device's memory, `room` is halved, and
    it and all later ones run in smaller pieces. `hidden`, bool [vocabulary]: the tokens never drawn.

    Raises ValueError for an empty prompt or one that leaves no room; OutOfMemory if not even one row fits.
    """
    loops = [_Loop(model, params, eos_token_ids, pad_token_id, hidden) for _ in range(_side_by_side(model))]
    share = Room(room.tokens // len(loops))
    check_prompts(prompt_ids, loops[0].longest)
    results: list[list[Decoded]] = [[] for _ in prompt_ids]
    batches = list(_batches(prompt_ids, params, share, loops[0].may_pad))
    was_training = model.training
    model.eval()
    try:
        for rows, batch in zip(batches, _run_all(loops, share, prompt_ids, batches, seeds), strict=True):
            # Batches come in order of samples within a prompt, so appending keeps that order.
            for row, decoded in zip(rows, batch, strict=True):
                results[row.prompt].append(decoded)
    finally:
        model.train(was_training)
        if share.tokens < room.tokens // len(loops):
            room.tokens = share.tokens * len(loops)
    return results


def _side_by_side(model: PreTrainedModel) -> int:
    """How many batches run at the same time."""
    return torch.get_num_threads() if model.device.type == "cpu" else 1


def _run_all(
    loops: Sequence[_Loop],
    room: Room,
    prompt_ids: Sequence[Sequence[int]],
    batches: Sequence[Sequence[_Row]],
    seeds: Sequence[int],
) -> list[list[Decoded]]:
    """Completions of each batch's rows, in order; as many batches at the same time as there are loops."""
    idle: SimpleQueue[_Loop] = SimpleQueue()
    for loop in loops:
        idle.put(loop)

    def run(rows: Sequence[_Row]) -> list[Decoded]:
        loop = idle.get()
        try:
            with torch.no_grad():
                return _run_what_fits(loop, room, prompt_ids, rows, seeds)
        finally:
            idle.put(loop)

    if len(loops) == 1:
        return [run(rows) for rows in batches]
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(len(loops), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            futures = [pool.submit(run, rows) for rows in batches]
            try:
                return [future.result() for future in futures]
            finally:
                pool.shutdown(cancel_futures=True)
    finally:
        # What a thread sets is what later threads begin with.
        torch.set_num_threads(threads)


def _run_what_fits(
    loop: _Loop,
    room: Room,
    prompt_ids: Sequence[Sequence[int]],
    rows: Sequence[_Row],
    seeds: Sequence[int],
) -> list[Decoded]:
    """Completions of a batch's rows, in order; in pieces of as many rows as fit into memory."""
    results: list[Decoded] = []
    # The last row has the longest prompt.
    length = len(prompt_ids[rows[-1].prompt]) + loop.max_tokens
    while len(results) < len(rows):
        piece = rows[len(results) : len(results) + room.rows(length)]
        keys = row_keys([seeds[row.prompt] for row in piece], [row.sample for row in piece], loop.device)
        try:
            results += loop.run(prompt_ids, piece, keys)
            continue
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if len(piece) == 1:
                raise OutOfMemory(
                    f"out of memory on {loop.device} with one completion at a time "
                    f"({str(error).splitlines()[0]}); try a smaller max_tokens, or dtype bfloat16"
                ) from error
        # Only out here is the traceback gone, and with it what held the memory.
        room.tokens = min(room.tokens, len(piece) // 2 * length)
        loop.forget()
        free_memory()
    return results


def _batches(
    prompt_ids: Sequence[Sequence[int]], params: SamplingParams, room: Room, may_pad: bool
) -> Iterator[list[_Row]]:
    """Rows in batches, shortest prompts first.

    A batch has prompts of one length where padding is not allowed, or where they fill half of it: without
    padding, attention needs no mask and positions are the same for all rows.
    """
    batch: list[_Row] = []
    for index in sorted(range(len(prompt_ids)), key=lambda i: len(prompt_ids[i])):
        length = len(prompt_ids[index])
        for sample in range(params.samples):
            most = room.rows(length + params.max_tokens)
            padded = bool(batch) and len(prompt_ids[batch[0].prompt]) != length
            if len(batch) >= most or (padded and (not may_pad or 2 * len(batch) >= most)):
                yield batch
                batch = []
            batch.append(_Row(index, sample))
    if batch:
        yield batch


class _Loop:
    """Runs batches of rows on one model, with one cache for all of them."""

    def __init__(
        self,
        model: PreTrainedModel,
        params: SamplingParams,
        eos_token_ids: Collection[int],
        pad: int,
        hidden: torch.Tensor | None,
    ) -> None:
        self.device = model.device
        self.max_tokens = params.max_tokens
        self._model, self._params, self._pad, self._hidden = model, params, pad, hidden
        self._eos = torch.tensor(sorted(eos_token_ids), dtype=torch.int64, device=self.device)
        longest = getattr(model.config.get_text_config(decoder=True), "max_position_embeddings", None)
        self.longest = longest if isinstance(longest, int) and longest > 0 else None
        self._accepts = frozenset(inspect.signature(model.forward).parameters)
        self._cache = KeyValueCache(model.config) if has_plain_attention(model.config) else None
        # Padding would enter the state of a recurrent model.
        self.may_pad = self._cache is not None

    def run(
        self, prompt_ids: Sequence[Sequence[int]], rows: Sequence[_Row], keys: torch.Tensor
    ) -> list[Decoded]:
        """Completions of a batch's rows, in order; `keys` int64 [rows]."""
        prompts = list(dict.fromkeys(row.prompt for row in rows))
        place = {prompt: index for index, prompt in enumerate(prompts)}
        source = torch.tensor([place[row.prompt] for row in rows], device=self.device)
        lengths = [len(prompt_ids[prompt]) for prompt in prompts]
        width = max(lengths)
        ids = torch.full((len(prompts), width), self._pad, dtype=torch.int64)
        for index, prompt in enumerate(prompts):
            ids[index, width - lengths[index] :] = torch.tensor(prompt_ids[prompt])
        lengths_of = torch.tensor(lengths, device=self.device)
        limits = torch.full_like(source, self._params.max_tokens)
        if self.longest is not None:
            limits = limits.minimum(self.longest - lengths_of[source])
        context = _Context(self._model, self._cache, self._accepts, ids.to(self.device), lengths_of)
        decoded = self._decode(context, source, keys, limits)
        if self._cache is not None:
            self._cache.clear()
        return decoded

    def forget(self) -> None:
        """Drop the memory of keys and values, which was too much."""
        if self._cache is not None:
            self._cache = KeyValueCache(self._model.config)

    def _decode(
        self, context: _Context, source: torch.Tensor, keys: torch.Tensor, limits: torch.Tensor
    ) -> list[Decoded]:
        most = int(limits.max())
        drawn = torch.full((len(source), most), self._pad, dtype=torch.int64, device=self.device)
        counts = torch.zeros_like(source)
        stopped = torch.zeros(len(source), dtype=torch.bool, device=self.device)
        # The rows still in the batch, as indices into the three tensors above.
        active = torch.arange(len(source), device=self.device)
        alive = torch.ones_like(stopped)
        logits = context.start(source, most)
        for position in range(most):
            tokens = draw(self._in_reach(logits), self._params, uniforms(keys, position))
            drawn[active, position] = torch.where(alive, tokens, self._pad)
            ended = torch.isin(tokens, self._eos)
            stopped[active] |= alive & ended
            counts[active] += alive
            alive = alive & ~ended & (limits > position + 1)
            left = int(alive.sum())
            if left == 0:
                break
            if left < COMPACT_BELOW * len(alive):
                keep = alive.nonzero()[:, 0]
                active, keys, limits, tokens = active[keep], keys[keep], limits[keep], tokens[keep]
                alive = alive[keep]
                context.select(keep)
            logits = context.append(tokens)
        return [
            Decoded(tokens[:count], "stop" if stop else "length")
            for tokens, count, stop in zip(drawn.tolist(), counts.tolist(), stopped.tolist(), strict=True)
        ]

    def _in_reach(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits to draw from, in float32."""
        logits = logits.float()
        return logits if self._hidden is None else logits.masked_fill(self._hidden, -torch.inf)


class _Context:
    """What a batch of rows has read so far, and the logits of what comes next.

    `ids` int64 [prompts, width], padded on the left; `lengths` int64 [prompts].
    Without a cache (for layers that do not keep plain keys and values) everything is read again for each
    token: slow, but right for any causal model.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        cache: KeyValueCache | None,
        accepts: frozenset[str],
        ids: torch.Tensor,
        lengths: torch.Tensor,
    ) -> None:
        self._model, self._cache, self._accepts = model, cache, accepts
        self._ids, self._lengths = ids, lengths
        self._width = self._filled = ids.shape[1]
        self._padded = bool((lengths < self._width).any())
        self._mask = torch.empty(0)

    def start(self, source: torch.Tensor, most: int) -> torch.Tensor:
        """Read the prompts; then row i goes on from prompt `source[i]`, for `most` tokens at most.

        The logits after the prompt, [rows, vocabulary].
        """
        if self._padded:
            columns = torch.arange(self._width + most, device=self._ids.device)
            self._mask = (columns >= self._width - self._lengths[:, None]).long()
        logits = self._read(self._ids, 0)
        self._lengths = self._lengths[source]
        if self._padded:
            self._mask = self._mask[source]
        if self._cache is not None:
            self._cache.expand(source, self._width + most)
        else:
            self._ids = self._ids[source]
        return logits[source]

    def append(self, tokens: torch.Tensor) -> torch.Tensor:
        """The logits after one more token a row, [rows, vocabulary]."""
        self._filled += 1
        if self._cache is not None:
            return self._read(tokens[:, None], self._filled - 1)
        self._ids = torch.cat([self._ids, tokens[:, None]], dim=1)
        return self._read(self._ids, 0)

    def select(self, keep: torch.Tensor) -> None:
        """Go on with these rows only."""
        self._lengths = self._lengths[keep]
        if self._padded:
            self._mask = self._mask[keep]
        if self._cache is not None:
            self._cache.select(keep)
        else:
            self._ids = self._ids[keep]

    def _read(self, ids: torch.Tensor, before: int) -> torch.Tensor:
        """Logits after the last column of `ids`, which follow `before` columns already in the cache."""
        inputs: dict[str, Any] = {"input_ids": ids, "use_cache": self._cache is not None}
        if self._cache is not None:
            inputs["past_key_values"] = self._cache
        if "logits_to_keep" in self._accepts:
            inputs["logits_to_keep"] = 1
        if self._padded:
            inputs["attention_mask"] = self._mask[:, : before + ids.shape[1]]
            if "position_ids" in self._accepts:
                columns = torch.arange(before, before + ids.shape[1], device=ids.device)
                offset = self._width - self._lengths[:, None]
                inputs["position_ids"] = (columns[None] - offset).clamp_min(0)
        return self._model(**inputs).logits[:, -1]
