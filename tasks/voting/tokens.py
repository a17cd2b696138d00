r"""Cutting plain LaTeX mathematics into tokens, and telling words from products of variables."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import NamedTuple

from tasks.voting.normalise import DEGREE, TEXT_CLOSE, TEXT_OPEN


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
FUNCTIONS = frozenset(
    "sin cos tan cot sec csc sinh cosh tanh arcsin arccos arctan log ln lg exp gcd lcm max min "
    "sqrt abs floor ceil".split()
)
ALIASES = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "cosec": "csc", "tg": "tan", "ctg": "cot"}
PLAIN_CONSTANTS = {"pi": "pi", "inf": "inf", "infty": "inf", "infinity": "inf", "oo": "inf"}
SHORT_WORDS = frozenset(
    "no on of or so to up us we it is in if he go do by be at as an am my me hi ox ok oh ha ho".split()
)


def is_word(letters: str) -> bool:
    """Whether a run of letters is a word rather than a product of variables."""
    if len(letters) < 2 or letters in FUNCTIONS or letters in ALIASES or letters in PLAIN_CONSTANTS:
        return False
    if len(letters) == 2:
        return letters.lower() in SHORT_WORDS or letters.isupper()
    return letters[0].isupper() or any(vowel in letters.lower() for vowel in "aeiou") or len(letters) > 4


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
