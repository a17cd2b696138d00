"""Vocabulary dropout: which tokens are out of reach, the same for drawing and for what is learnt from it.

The Challenger goes without some of its tokens, others every time, so that it cannot settle on the same words
(arXiv 2604.03472). Each token is out of reach with a chance of its own, as there, by a hash of (seed, token):
the same on every device, however large the model's table of tokens.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import torch

from infra.samplers.decoding.drawing import row_keys, uniforms
from infra.samplers.protocol import VocabularyDropout

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def hidden_tokens(
    dropout: VocabularyDropout | None, model: PreTrainedModel, tokenizer: Any, end_tokens: Collection[int]
) -> torch.Tensor | None:
    """Whether each token is out of reach, bool [vocabulary] on the model's device; None without dropout.

    Never out of reach are `end_tokens`, tokens that were added to the tokenizer by name, such as the marks of
    roles and turns, and those of the spared texts.
    """
    if dropout is None:
        return None
    size = model.config.get_text_config(decoder=True).vocab_size
    keys = row_keys([dropout.seed], range(size), torch.device("cpu"))
    hidden = uniforms(keys, 0) < dropout.share
    spared = {*end_tokens, *tokenizer.added_tokens_decoder, *_tokens_of(dropout.spared, tokenizer)}
    hidden[sorted(token for token in spared if token < size)] = False
    return hidden.to(model.device)


def _tokens_of(texts: Collection[str], tokenizer: Any) -> set[int]:
    """The tokens that write these texts at the start of a line and of a completion."""
    # Some tokenizers put a blank before the first word of a text.
    written = [before + text for text in texts for before in ("", "\n")]
    return {token for text in written for token in tokenizer(text, add_special_tokens=False)["input_ids"]}
