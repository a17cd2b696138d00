r"""Cutting plain LaTeX mathematics into tokens."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from tasks.voting.reading.normalise import DEGREE, TEXT_CLOSE, TEXT_OPEN


class SyntaxFault(Exception):
    """The text is not mathematics."""


class HardError(Exception):
    """The text is mathematics beyond what is read or computed here."""


class Token(NamedTuple):
    """A piece of the text: its kind, its spelling, and whether a blank comes before it."""

    kind: str
    text: str
    spaced: bool


_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<repeat>\d*\.\d*(?:\\overline|\\dot|\\bar)\s*\{\d+\}|\d*\.\d{3,}\s*\\ldots)"
    r"|(?P<science>(?:\d+\.?\d*|\.\d+)[eE][+-]?\d{1,4}(?![\dA-Za-z.]))"
    r"|(?P<number>\d+(?:\.\d+)?\.?(?![\d])|\.\d+)"
    rf"|{TEXT_OPEN}(?P<text>[^{TEXT_CLOSE}]*){TEXT_CLOSE}"
    r"|(?P<command>\\(?:[A-Za-z]+\*?|[{}|\\]))"
    r"|(?P<letters>[A-Za-z]+)"
    rf"|(?P<mark>[-+*/^_=<>()\[\]{{}}|,;:!%&'{DEGREE}])"
)


def tokens_of(text: str) -> list[Token]:
    """The tokens of a plain text; SyntaxFault at a character that has no place in mathematics."""
    tokens: list[Token] = []
    position, spaced = 0, False
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise SyntaxFault(f"unexpected {text[position]!r}")
        position = match.end()
        if match.lastgroup == "space":
            spaced = True
            continue
        tokens.append(Token(match.lastgroup, match.group(match.lastgroup).strip(), spaced))
        spaced = False
    return tokens


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
