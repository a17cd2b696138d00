"""Samplers: draw completions from a model, whatever engine does it."""

from infra.samplers.open import open_sampler, release_sampler, shared_sampler
from infra.samplers.protocol import Completion, Sampler, SamplingParams

__all__ = ["Completion", "Sampler", "SamplingParams", "open_sampler", "release_sampler", "shared_sampler"]
