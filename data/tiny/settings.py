"""The settings of the tiny model's pre-training."""

from __future__ import annotations

from pydantic import Field

from data.section import Count, Probability, Section


class TinyModelConfig(Section):
    """How the tiny language model of the embedded default is pre-trained in place."""

    training_steps: Count = Field(default=500, description="Optimiser steps of the pre-training.")
    batch_size: Count = Field(default=48, description="Texts in one pre-training batch.")
    noise: Probability = Field(
        default=0.02,
        description="Share of second reasoning steps that are wrong by chance; of third ones twice as many, "
        "and so on.",
    )
    parts_share: Probability = Field(
        default=0.42,
        description="Share of first reasoning steps in parts, which are right, where at once some are not; "
        "of later ones fewer.",
    )
    solver_terms: int = Field(
        default=8,
        ge=2,
        le=25,
        description="Terms of the longest held-out chain; the Solver has read two more.",
    )
    straying_share: Probability = Field(
        default=0.06, description="Share of the Solver's text whose question leaves 0..99 and gets no answer."
    )
    challenger_share: Probability = Field(default=0.18, description="Share of text in the Challenger's role.")
    held_out_per_length: Count = Field(
        default=30, description="Held-out questions for each number of terms, in no training text."
    )
