"""Telling the value of an answer such as "5 cm" from its unit."""

from __future__ import annotations

from tasks.voting.reading import units
from tasks.voting.reading.lexicon import FUNCTIONS, JOINERS, is_word
from tasks.voting.reading.normalise import DEGREE
from tasks.voting.reading.tokens import NUMERALS, Token

_UNIT_MARKS = frozenset(("/", "*", "^", "\\cdot", "{", "}", "-"))


def split_unit(tokens: list[Token]) -> tuple[list[Token], units.Unit | None, bool]:
    """(tokens of the value, unit, whether it is surely a unit) of an answer such as "5 cm"."""
    if not tokens:
        return tokens, None, False
    first = tokens[0]
    if first.kind == "text" and units.is_money(first.text) and len(tokens) > 1:
        money = units.KNOWN[first.text]
        if all(t.kind not in ("text", "letters") for t in tokens[1:]):
            return tokens[1:], money, True
    if first.text in ("-", "+") and len(tokens) > 2 and tokens[1].kind == "text":
        rest, unit, sure = split_unit(tokens[1:])
        return ([first, *rest], unit, sure) if unit is not None else (tokens, None, False)
    for start in range(1, len(tokens)):
        token, before = tokens[start], tokens[start - 1]
        if (token.text == DEGREE and start == len(tokens) - 1) or _is_temperature(tokens[start:]):
            if any(t.text.lstrip("\\") in FUNCTIONS for t in tokens):
                break  # An angle inside a function is a number, not an answer in degrees.
            names = {"C": "degC", "F": "degF"}
            unit = units.KNOWN[names.get(tokens[-1].text.strip(), "deg")]
            return tokens[:start], unit, True
        if token.kind not in ("letters", "text") or not _ends_value(before):
            continue
        tail = tokens[start:]
        if not all(t.kind in ("letters", "text", "number") or t.text in _UNIT_MARKS for t in tail):
            continue
        if any(is_operator(t) for t in tokens[:start]):
            continue
        spelled = " ".join(t.text.replace("\\cdot", "*") for t in tail)
        literal = all(t.kind in ("number", "science") or t.text in ("/", "-", "+") for t in tokens[:start])
        nouns = token.kind == "text" or (literal and is_word(token.text) and token.spaced)
        unit = units.parse(spelled, nouns)
        if unit is not None:
            sure = token.kind == "text" or token.spaced or len(token.text) > 1
            return tokens[:start], unit, sure
    return tokens, None, False


def is_operator(token: Token) -> bool:
    """Whether a token splits an answer into several items or sides."""
    return token.text in ("=", "<", ">", ",", ";", "\\le", "\\ge", "\\ne", "\\in", "\\cup", "\\cap") or (
        token.kind in ("letters", "text") and token.text.lower() in JOINERS
    )


def _is_temperature(tail: list[Token]) -> bool:
    return len(tail) == 2 and tail[0].text == DEGREE and tail[1].text.strip() in ("C", "F")


def _ends_value(token: Token) -> bool:
    return token.kind in NUMERALS or token.text in (")", "}", "]", "!", "|", "\\pi")
