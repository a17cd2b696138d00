"""Samplers: draw completions from a model, whatever engine does it."""

from infra.samplers.protocol import Completion, Sampler, SamplingParams, open_sampler

__all__ = ["Completion", "Sampler", "SamplingParams", "open_sampler"]
