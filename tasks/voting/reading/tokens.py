r"""Cutting plain LaTeX mathematics into tokens."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from tasks.voting.reading.lexicon import SPELT_IN_CAPITALS
from tasks.voting.reading.normalise import DEGREE, TEXT_CLOSE, TEXT_OPEN


class SyntaxFault(Exception):
    """The text is no mathematics that this grammar knows."""


class Uncomputed(Exception):
    """A value that does not exist or is not computed here."""


class Token(NamedTuple):
    """A piece of the text: its kind, its spelling, and whether a blank comes before it."""

    kind: str
    text: str
    spaced: bool


NUMERALS = ("number", "science", "repeat")
_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<repeat>\d*\.\d*(?:\\overline|\\dot|\\bar)\s*\{\d+\}|\d*\.\d{3,}\s*\\ldots)"
    r"|(?P<science>(?:\d+\.?\d*|\.\d+)[eE][+-]?\d{1,4}(?![\dA-Za-z.]))"
    r"|(?P<number>\d+(?:\.\d+)?\.?(?![\d])|\.\d+)"
    rf"|{TEXT_OPEN}(?P<text>[^{TEXT_CLOSE}]*){TEXT_CLOSE}"
    r"|(?P<command>\\(?:[A-Za-z]+\*?|[{}|\\]))"
    r"|(?P<letters>[A-Za-z]+)"
    rf"|(?P<mark>[-+*/^_=<>()\[\]{{}}|,;:!%&'{DEGREE}])"
    r"|(?P<other>.)",
    re.DOTALL,
)
_PIECE = re.compile(r"[A-Za-z]+|\d+(?:\.\d+)?|[^\sA-Za-z\d]")
_SYNONYMS = {("does", "not", "exist"): ("dne",), ("no", "solutions"): ("no", "solution")}


def tokens_of(text: str) -> list[Token]:
    """The tokens of a plain text: every character but blanks is in one of them."""
    tokens: list[Token] = []
    spaced = False
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if kind == "space":
            spaced = True
            continue
        tokens.append(Token(kind, match.group(kind).strip(), spaced))
        spaced = False
    return tokens


def spelling(tokens: list[Token]) -> tuple[str, ...]:
    """How an answer is spelt, which is what it is compared by if it is not read.

    Words lose their case, single letters keep it; quotes, and the punctuation of prose, are layout.
    """
    pieces: list[str] = []
    for token in tokens:
        if token.kind in ("letters", "text"):
            pieces.extend(map(folded, _PIECE.findall(token.text)))
        else:
            pieces.append(token.text)
    prose = any(len(piece) > 1 and piece.isalpha() for piece in pieces)
    kept = tuple(piece for piece in pieces if piece not in '"`' and not (prose and piece in ",.;"))
    return _SYNONYMS.get(kept, kept) or tuple(pieces)


def folded(word: str) -> str:
    """A word without its case; names such as x, AB and ABC keep theirs."""
    if len(word) == 1 or (word.isupper() and len(word) < 5 and word not in SPELT_IN_CAPITALS):
        return word
    return word.lower()


def repeating(text: str) -> Fraction:
    r"""The value of 0.1\overline{6} or of 0.333\ldots, SyntaxFault where nothing repeats."""
    digits = re.fullmatch(r"(\d*)\.(\d*)\\(?:overline|dot|bar)\s*\{(\d+)\}", text)
    if digits:
        whole, fixed, period = digits.groups()
    else:
        whole, decimals = text.split("\\")[0].strip().split(".")
        for length in range(1, len(decimals) // 2 + 1):
            period = decimals[-length:]
            if decimals.endswith(period * (3 if length == 1 else 2)):
                break
        else:
            raise SyntaxFault("no repeating decimals before the dots")
        fixed = decimals[:-length]
        while len(fixed) >= length and fixed.endswith(period):
            fixed = fixed[:-length]
    scale = 10 ** len(fixed)
    tail = Fraction(int(period), (10 ** len(period) - 1) * scale)
    return Fraction(int(whole or 0)) + Fraction(int(fixed or 0), scale) + tail
