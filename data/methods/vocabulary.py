"""Vocabulary dropout (arXiv 2604.03472): the Challenger goes without some of its tokens."""

from __future__ import annotations

from pydantic import Field

from data.section import Section


class VocabularyDropoutConfig(Section):
    """Tokens that are out of reach, others in each training step and in each shard of candidates."""

    share: float = Field(
        0.15, ge=0.0, lt=1.0, description="Chance of a token to be out of reach, drawn for each by itself."
    )
    spared: tuple[str, ...] = Field(
        (),
        description="Texts whose tokens always stay, beside those of the domain's format and those that are "
        "added to the tokenizer by name.",
    )
