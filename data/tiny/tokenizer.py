r"""The tiny model's tokenizer: the parts of a chain, one token each, and printable ASCII besides.

A term with its blank, a value after its equals sign, and the way to it, ` ` at once or `:` in parts, are one
token each: `37| a+5| |=42| b-4|:|-2|=40|-2|=38`. So the way is chosen before any value, and a right value at
once does not compete with those in parts. Anything else is spelt in characters, digits two at a time.
Decoding gives back exactly the text that was encoded; no token is added at the beginning or the end.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

from data.tiny.arithmetic import COMMON_LETTERS
from data.tiny.ways import LARGEST_STEP

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, END, UNKNOWN = "<pad>", "<eos>", "<unk>"
CHALLENGER, SOLVER = "<|challenger|>", "<|solver|>"
MARKS = ("<question>", "</question>", "\\boxed{")
"""Parts of the written format; ordinary tokens that stay in decoded text."""

_SIZES = string.digits[1 : LARGEST_STEP + 1]
_PARTS = rf"(?: [{COMMON_LETTERS}])?[+-][{_SIZES}](?![0-9])|=[1-9][0-9]?|=0(?![0-9])|[0-9][0-9]|[\s\S]"
"""Steps of one digit, values after an equals sign, pairs of digits, single characters."""


def vocabulary() -> list[str]:
    """Every token, by id."""
    characters = [chr(code) for code in range(ord(" "), ord("~") + 1)] + ["\n"]
    pairs = [first + second for first in string.digits for second in string.digits]
    before = ["", *(f" {letter}" for letter in COMMON_LETTERS)]
    steps = [letter + sign + digit for letter in before for sign in "+-" for digit in _SIZES]
    values = [f"={value}" for value in range(100)]
    return [PAD, END, UNKNOWN, CHALLENGER, SOLVER, *MARKS, *characters, *pairs, *steps, *values]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A fast Hugging Face tokenizer that needs no custom code to load."""
    from tokenizers import (  # type: ignore[import-untyped]
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
    )
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(
        models.WordLevel({token: index for index, token in enumerate(vocabulary())}, unk_token=UNKNOWN)
    )
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(_PARTS), behavior="isolated")
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in (PAD, END, UNKNOWN)])
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in (CHALLENGER, SOLVER)])
    backend.add_tokens([AddedToken(token, normalized=False) for token in MARKS])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=[CHALLENGER, SOLVER],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=MODEL_MAX_LENGTH,
    )


MODEL_MAX_LENGTH = 256
"""Longest text of the model, in tokens, prompt and completion together."""
