"""Between token ids and texts: the end of a completion, the padding of prompts. No torch."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def completion_texts(
    tokenizer: Any, token_ids: Sequence[Sequence[int]], end_tokens: Collection[int]
) -> list[str]:
    """The text of each completion without its end-of-sequence token, added tokens spelled out."""
    bare = [list(ids[:-1] if ids and ids[-1] in end_tokens else ids) for ids in token_ids]
    texts: list[str] = tokenizer.batch_decode(
        bare, skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return texts


def eos_token_ids(model: PreTrainedModel, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a completion of a loaded model: its generation config's and its tokenizer's."""
    return _with_the_tokenizers(getattr(model.generation_config, "eos_token_id", None), tokenizer)


def end_tokens(model_dir: Path, tokenizer: Any) -> frozenset[int]:
    """The same for a model's directory, without loading its weights."""
    from transformers import GenerationConfig

    try:
        configured = GenerationConfig.from_pretrained(model_dir).eos_token_id
    except OSError:
        configured = None
    return _with_the_tokenizers(configured, tokenizer)


def pad_token_id(tokenizer: Any, end_tokens: Collection[int]) -> int:
    """The token that pads shorter prompts. Any valid one will do, since a mask hides it."""
    pad: int | None = tokenizer.pad_token_id
    return min(end_tokens, default=0) if pad is None else pad


def _with_the_tokenizers(configured: Any, tokenizer: Any) -> frozenset[int]:
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(one for one in [*ids, tokenizer.eos_token_id] if one is not None)
