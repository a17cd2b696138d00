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
    """The text of each completion without the token that ended it, other added tokens spelled out."""
    bare = [list(ids[:-1] if ids and ids[-1] in end_tokens else ids) for ids in token_ids]
    texts: list[str] = tokenizer.batch_decode(
        bare, skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return texts


def eos_token_ids(model: PreTrainedModel, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a completion of a loaded model.

    Those of its generation config and its tokenizer, and the one that ends a turn in its chat template: base
    models often name only the end of a text, and would go on to invent the next turn.
    """
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


def turn_end(tokenizer: Any) -> int | None:
    """The special token that follows the assistant's words in the tokenizer's chat template.

    White space may stand between. None where there is no template, or it fails, or anything else follows: an
    ordinary token, even one that ends each turn, is also part of ordinary text.
    """
    if not getattr(tokenizer, "chat_template", None):
        return None
    for conversation in (_TURNS, _TURNS[1:]):
        try:
            rendered = str(tokenizer.apply_chat_template(conversation, tokenize=False))
        except Exception:
            # A template is a program of others; some refuse a system's message.
            continue
        _, said, after = rendered.rpartition(_TURNS[-1]["content"])
        if not said:
            return None
        special = {
            id_: token.content for id_, token in tokenizer.added_tokens_decoder.items() if token.special
        }
        following = [id_ for id_, text in special.items() if text and after.lstrip().startswith(text)]
        return max(following, key=lambda id_: len(special[id_]), default=None)
    return None


_TURNS = [{"role": role, "content": f"what-the-{role}-says"} for role in ("system", "user", "assistant")]


def _with_the_tokenizers(configured: Any, tokenizer: Any) -> frozenset[int]:
    ids = configured if isinstance(configured, list) else [configured]
    ends = (*ids, tokenizer.eos_token_id, turn_end(tokenizer))
    return frozenset(one for one in ends if one is not None)
