"""What an answer says, in a form that can be compared: `read` and `agree`.

Equal answers have equal keys (see `evaluate`). Two annotations of a value are optional, and only a
contradiction of them makes answers differ: the name in "x = 5" and the unit in "5 cm". So 5 agrees
with x = 5 and with 5 cm, but x = 5 not with y = 5 and 5 cm not with 5 m.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache

from tasks.voting.extraction import MAX_ANSWER_CHARACTERS, MAX_DEPTH, depth
from tasks.voting.reading import evaluator, units
from tasks.voting.reading.cursor import Node
from tasks.voting.reading.grammar import Parser
from tasks.voting.reading.keys import (
    assignment,
    expression_key,
    flat,
    has_structure,
    interval,
    list_key,
    relation_key,
)
from tasks.voting.reading.lexicon import JOINERS, TEXTUAL, is_word
from tasks.voting.reading.normalise import TEXT_CLOSE, TEXT_OPEN, plain
from tasks.voting.reading.primaries import in_base
from tasks.voting.reading.quantities import split_unit
from tasks.voting.reading.tokens import HardError, SyntaxFault, Token, tokens_of


class Status(Enum):
    """How far an answer was understood."""

    READ = "read"
    HARD = "hard"
    REFUSED = "refused"


@dataclass(frozen=True)
class Form:
    """An answer as read.

    `value` is its key in base units and `bare` as written (None where the unit may be a variable), both
    None for an equation or inequality that gives no value; `relation` is the key of an equation or
    inequality; `name` and `unit` annotate the value where they are stated.
    """

    status: Status
    text: str
    bare: Hashable = None
    value: Hashable = None
    relation: Hashable = None
    name: str | None = None
    unit: Hashable = None

    @property
    def annotations(self) -> int:
        """How many of the optional parts the answer states."""
        return (self.name is not None) + (self.unit is not None)

    @property
    def key(self) -> Hashable:
        """Equal for answers that are equal in every part."""
        return (self.value, self.relation, self.name, self.unit)


def agree(a: Form, b: Form) -> bool:
    """Whether two read answers are equal, an annotation that one of them lacks being no difference."""
    if a.text == b.text or (a.relation is not None and a.relation == b.relation):
        return True
    if a.name is not None and b.name is not None and a.name != b.name:
        return False
    if (a.unit is None) == (b.unit is None):
        return a.unit == b.unit and a.value is not None and a.value == b.value
    return a.bare is not None and a.bare == b.bare


_INTEGER = re.compile(r"[+-]?\d{1,300}")
_CLOCK = re.compile(r"\d{1,2}(?::\d\d)?\s*[ap]\.?m\.?", re.IGNORECASE)
_NUMERAL = re.compile(r"([0-9A-Z]*[A-F][0-9A-Z]*)_\{?(1[1-9]|2\d|3[0-6])\}?")
_WORDS = re.compile(r"[A-Za-z][A-Za-z' -]*[A-Za-z]")
_FUNCTION_NAME = re.compile(
    r"\\?[A-Za-z]+'*(?:\^\{?-1\}?)?\([A-Za-z](?:,[A-Za-z])*\)|\\frac\{d[a-z]\}\{d[a-z]\}|d[a-z]/d[a-z]"
)
_DERIVATIVE = re.compile(
    r"\\frac\s*\{\s*(?:d|\\partial)\s*\}\s*\{\s*(?:d|\\partial)\s*[a-z]\s*\}|(?<![A-Za-z])d/d[a-z]\b"
)
_PIECE = re.compile(r"[A-Za-z]+|\d+(?:\.\d+)?|[^\sA-Za-z\d]")
_IGNORED = frozenset([*".,;:!?'\"$(){}[]\\`", TEXT_OPEN, TEXT_CLOSE, "and"])
_SYNONYMS = {
    ("does", "not", "exist"): ("dne",),
    ("no", "solutions"): ("no", "solution"),
    ("none",): ("none",),
}


@lru_cache(maxsize=1 << 16)
def read(answer: str) -> Form:
    """The form of an answer; in bounded time, since long or deeply nested ones are refused."""
    if _INTEGER.fullmatch(answer):
        number = ("q", int(answer), 1)
        return Form(Status.READ, answer, number, number)
    if len(answer) > 4 * MAX_ANSWER_CHARACTERS:
        answer_plain = " ".join(answer.split())
        if len(answer_plain) > MAX_ANSWER_CHARACTERS:
            return Form(Status.REFUSED, answer_plain)
        answer = answer_plain
    text = plain(answer)
    if len(text) > MAX_ANSWER_CHARACTERS or depth(text) > MAX_DEPTH:
        return Form(Status.REFUSED, text)
    try:
        return _read_plain(text)
    except SyntaxFault:
        return _as_text(text) if _is_wordy(text) else _opaque(text)
    except (HardError, RecursionError, OverflowError):
        return Form(Status.HARD, text)


def _is_wordy(text: str) -> bool:
    return "\\" not in text


def _opaque(text: str) -> Form:
    """Mathematics that does not parse: an algebra system with a more forgiving grammar may try."""
    return Form(Status.HARD, text) if "\\" in text.replace("\\ ", "") else _as_text(text)


def _as_text(text: str) -> Form:
    pieces = tuple(
        piece if len(piece) == 1 else piece.lower() for piece in _PIECE.findall(text) if piece not in _IGNORED
    )
    if not pieces:
        pieces = tuple(text.split())
    value = ("text", _SYNONYMS.get(pieces, pieces))
    return Form(Status.READ, text, value, value)


def _read_plain(text: str) -> Form:
    whole = re.fullmatch(rf"{TEXT_OPEN}([^{TEXT_CLOSE}]*){TEXT_CLOSE}", text)
    if whole:
        return _read_plain(plain(whole.group(1)))
    if _CLOCK.fullmatch(text):
        return _as_text(text.replace(".", "").lower())
    numeral = _NUMERAL.fullmatch(text)
    if numeral:
        number = ("q", in_base(numeral.group(1), int(numeral.group(2))), 1)
        return Form(Status.READ, text, number, number)
    if _WORDS.fullmatch(text) and any(is_word(w) and w not in JOINERS for w in re.split(r"[ '-]+", text)):
        return _as_text(text)
    if any(command in TEXTUAL for command in re.findall(r"\\([A-Za-z]+)", text)):
        return _as_text(text)
    if _DERIVATIVE.search(text):
        raise HardError("a derivative is no quotient")
    tokens = tokens_of(text)
    if not tokens:
        return _as_text(text)
    value, unit, sure = split_unit(tokens)
    if unit is not None:
        return _quantity(text, value, unit, sure)
    name = _word_name(tokens) or _quantity_name(tokens)
    if name is not None:
        inner = _read_tokens(text, tokens[name[1] :])
        return replace(inner, name=name[0], relation=(name[0], inner.value, inner.unit))
    return _read_tokens(text, tokens)


def _quantity_name(tokens: list[Token]) -> tuple[str, int] | None:
    """The name and length of the left side of "r = 5 cm", None for other texts."""
    equals = [position for position, token in enumerate(tokens) if token.text == "="]
    if len(equals) != 1 or len(tokens) < equals[0] + 2 or split_unit(tokens[equals[0] + 1 :])[1] is None:
        return None
    node = Parser(tokens[: equals[0]]).answer()
    return (node[1], equals[0] + 1) if node[0] == "sym" else None


def _word_name(tokens: list[Token]) -> tuple[str, int] | None:
    """The name and length of a left side such as "Area =" or "f(x) =", None for other texts."""
    for position, token in enumerate(tokens[:12]):
        if token.text == "=" and position:
            left = tokens[:position]
            spelled = "".join(t.text.strip() for t in left)
            if any(t.text == "=" for t in tokens[position + 1 :]):
                return None
            words = all(t.kind in ("text", "letters") for t in left)
            if words and (len(left) > 1 or left[0].kind == "text" or is_word(left[0].text)):
                return spelled.lower() if len(spelled) > 2 else spelled, position + 1
            if _FUNCTION_NAME.fullmatch(spelled):
                return spelled, position + 1
            return None
        if token.kind not in ("text", "letters", "command", "number") and token.text not in "(),'^{}-":
            return None
    return None


def _read_tokens(text: str, tokens: list[Token]) -> Form:
    value, unit, sure = split_unit(tokens)
    if unit is not None:
        return _quantity(text, value, unit, sure)
    return _form(text, Parser(list(tokens)).answer())


def _quantity(text: str, tokens: list[Token], unit: units.Unit, sure: bool) -> Form:
    node = Parser(list(tokens)).answer()
    value = expression_key(node)
    scaled = expression_key(("mul", node, ("num", unit.factor)))
    if not unit.dimension:
        return Form(Status.READ, text, scaled, scaled)
    return Form(Status.READ, text, value if sure else None, scaled, unit=unit.dimension)


def _form(text: str, node: Node) -> Form:
    if node[0] == "rel":
        return _relation_form(text, node)
    if node[0] == "list":
        return _list_form(text, node)
    value = expression_key(node)
    return Form(Status.READ, text, value, value)


def _relation_form(text: str, node: Node) -> Form:
    found = interval(node)
    if found is not None:
        value = expression_key(found[1])
        return Form(Status.READ, text, value, value, relation_key(node), found[0])
    found = assignment(node)
    if found is not None:
        name, right = found
        value = expression_key(right)
        equation: Node = ("rel", ("=",), (("sym", name), right))
        several = has_structure(right) or evaluator.has_plus_minus(right)
        return Form(
            Status.READ, text, value, value, (name, value) if several else relation_key(equation), name
        )
    if all(operator == "=" for operator in node[1]) and not evaluator.symbols(node):
        keys = {expression_key(side) for side in node[2]}
        if len(keys) == 1:
            value = keys.pop()
            return Form(Status.READ, text, value, value)
    return Form(Status.READ, text, relation=relation_key(node))


def _list_form(text: str, node: Node) -> Form:
    joiner, items = node[1], list(node[2:])
    names: set[str] = set()
    values: list[Node] = []
    for item in items:
        if item[0] != "rel":
            values.append(item)
            continue
        found = assignment(item) or (interval(item) if joiner == "or" else None)
        if found is None:
            break
        names.add(found[0])
        values.append(found[1])
    else:
        if len(names) <= 1:
            keys = flat(tuple(values), [expression_key(value) for value in values])
            intervals = any(v[0] in ("seq", "sets") and v[1] != "\\{" for v in values)
            union = joiner == "or" and intervals
            if joiner == "or":
                keys = list(dict.fromkeys(keys))
            value = ("union", frozenset(keys)) if union else keys[0] if len(keys) == 1 else list_key(keys)
            name = names.pop() if names else None
            return Form(Status.READ, text, value, value, None if name is None else (name, value), name)
    keys = [expression_key(item) for item in items]
    if all(item[0] == "rel" for item in items):
        return Form(Status.READ, text, relation=("either" if joiner == "or" else "both", frozenset(keys)))
    return Form(Status.READ, text, relation=("mixed", joiner == "or", frozenset(keys)))
