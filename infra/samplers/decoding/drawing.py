"""Drawing tokens: each row makes numbers in [0, 1) from its own seed and inverts the cumulative distribution.

A generator shared by a batch would make a row's tokens depend on its neighbours. Here the number is a
hash of (seed, sample, position), so a row draws the same token in any batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from infra.samplers.protocol import SamplingParams

_GOLDEN = 0x9E3779B97F4A7C15
_MIX_1, _MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def row_keys(seeds: Sequence[int], samples: Sequence[int], device: torch.device) -> torch.Tensor:
    """One int64 key for each row's (seed, sample); seeds are taken modulo 2**64."""
    seed = torch.tensor([_signed(value) for value in seeds], dtype=torch.int64, device=device)
    sample = torch.tensor([_signed(value) for value in samples], dtype=torch.int64, device=device)
    return _mixed(_mixed(seed) + sample * _signed(_GOLDEN))


def uniforms(keys: torch.Tensor, position: int) -> torch.Tensor:
    """For each row its float32 number in [0, 1) at a position, of 24 random bits."""
    bits = _mixed(keys + _signed((position + 1) * _GOLDEN))
    return _shifted(bits, 40).to(torch.float32) * 2.0**-24


def draw(logits: torch.Tensor, params: SamplingParams, numbers: torch.Tensor) -> torch.Tensor:
    """One token a row from float32 logits [rows, vocabulary] and numbers in [0, 1) [rows]; int64 [rows].

    Temperature, then top-k, then top-p, as transformers orders them. Temperature 0 takes the likeliest.
    """
    if params.temperature == 0:
        return logits.argmax(dim=-1)
    if params.temperature != 1:
        logits = logits / params.temperature
    if 0 < params.top_k < logits.shape[-1]:
        least = logits.topk(params.top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if params.top_p < 1:
        logits = _nucleus(logits, params.top_p)
    # Not normalised: the number is scaled by the total instead.
    cumulative = (logits - logits.amax(dim=-1, keepdim=True)).exp_().cumsum(dim=-1)
    total = cumulative[:, -1:]
    # Strictly below the total, or rounding could pick a token of probability zero.
    threshold = torch.minimum(numbers[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, threshold, right=True)[:, 0]


def _nucleus(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """Hide all but the likeliest tokens that together reach `top_p`."""
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)
    probabilities = ordered.softmax(dim=-1)
    hidden = probabilities.cumsum(dim=-1) - probabilities >= top_p
    hidden[:, 0] = False
    return logits.masked_fill(hidden.scatter(-1, order, hidden), -torch.inf)


def _mixed(x: torch.Tensor) -> torch.Tensor:
    """The finaliser of splitmix64, in wrapping int64 arithmetic."""
    x = (x ^ _shifted(x, 30)) * _signed(_MIX_1)
    x = (x ^ _shifted(x, 27)) * _signed(_MIX_2)
    return x ^ _shifted(x, 31)


def _shifted(x: torch.Tensor, bits: int) -> torch.Tensor:
    """A logical shift to the right: torch's own copies the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    """The int64 with the same 64 low bits."""
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value
