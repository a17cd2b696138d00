"""A key-value cache in preallocated memory, for any transformers model with plain attention layers.

transformers' dynamic cache copies everything at each token; its static cache makes attention read the whole
length and cannot drop rows. This one writes into one block of memory and returns views of the filled part;
rows can be repeated after the prompt and dropped when finished, and the next batch reuses the memory.
"""

from __future__ import annotations

import torch
from transformers import PretrainedConfig
from transformers.cache_utils import Cache, CacheLayerMixin

_PLAIN_LAYERS = {"full_attention", "sliding_attention"}


def has_plain_attention(config: PretrainedConfig) -> bool:
    """Whether every layer keeps ordinary keys and values.

    Sliding-window layers count: all their keys are kept, and the mask hides what is outside the window.
    """
    text = config.get_text_config(decoder=True)
    kinds = getattr(text, "layer_types", None)
    if kinds is None:
        # Recurrent and hybrid models (Mamba, RWKV, Jamba ...) either name their layer types or have a state.
        return not any(
            hasattr(text, name) for name in ("state_size", "mamba_d_state", "attention_hidden_size")
        )
    return set(kinds) <= _PLAIN_LAYERS


class _Layer(CacheLayerMixin):
    """Keys and values of one layer, each [rows, heads, capacity, head size], filled up to `length`."""

    is_compileable = False
    is_sliding = False

    def __init__(self) -> None:
        super().__init__()
        self.length = 0
        self._memory = [torch.empty(0), torch.empty(0)]

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to prepare: the first update brings the prompt's keys and values."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append [rows, heads, n, head size]; everything so far, the new ones included."""
        if self.length == 0:
            self.keys, self.values = key_states, value_states
            self.is_initialized = True
            self.length = key_states.shape[2]
            return key_states, value_states
        start, self.length = self.length, self.length + key_states.shape[2]
        keys, values = self._pair()
        keys[:, :, start : self.length] = key_states
        values[:, :, start : self.length] = value_states
        return keys[:, :, : self.length], values[:, :, : self.length]

    def expand(self, rows: torch.Tensor, capacity: int) -> None:
        """Row i becomes a copy of the present row `rows[i]`, with room for `capacity` tokens."""
        self.keys, self.values = (self._moved(i, old, rows, capacity) for i, old in enumerate(self._pair()))

    def select(self, rows: torch.Tensor) -> None:
        """Keep only these rows, in ascending order."""
        for part in self._pair():
            part[: len(rows), :, : self.length] = part[:, :, : self.length].index_select(0, rows)
        self.keys, self.values = (part[: len(rows)] for part in self._pair())

    def _moved(self, index: int, old: torch.Tensor, rows: torch.Tensor, capacity: int) -> torch.Tensor:
        shape = (len(rows), old.shape[1], capacity, old.shape[3])
        size = torch.Size(shape).numel()
        memory = self._memory[index]
        if memory.numel() < size or memory.dtype != old.dtype or memory.device != old.device:
            memory = self._memory[index] = torch.empty(size, dtype=old.dtype, device=old.device)
        block = memory[:size].view(shape)
        block[:, :, : self.length] = old[:, :, : self.length].index_select(0, rows)
        return block

    def _pair(self) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        return self.length

    def get_max_cache_shape(self) -> int:
        return -1

    def clear(self) -> None:
        """Forget the rows, keep the memory."""
        self.keys = self.values = None
        self.is_initialized = False
        self.length = 0


class KeyValueCache(Cache):
    """The cache of all layers; `update` the prompt, `expand` it to rows, then decode and `select`."""

    def __init__(self, config: PretrainedConfig) -> None:
        count = config.get_text_config(decoder=True).num_hidden_layers
        self._own = [_Layer() for _ in range(count)]
        super().__init__(layers=list(self._own))

    def expand(self, rows: torch.Tensor, capacity: int) -> None:
        """Row i becomes a copy of the present row `rows[i]`, with room for `capacity` tokens."""
        for layer in self._used():
            layer.expand(rows, capacity)

    def select(self, rows: torch.Tensor) -> None:
        """Keep only these rows, in ascending order."""
        for layer in self._used():
            layer.select(rows)

    def clear(self) -> None:
        """Get ready for other prompts; the memory is kept."""
        for layer in self._own:
            layer.clear()

    def _used(self) -> list[_Layer]:
        # Layers that share another layer's keys are never updated.
        return [layer for layer in self._own if layer.length > 0]
