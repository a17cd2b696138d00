"""What an answer says, in a form that can be compared: `read` and `agree`.

Equal answers have equal keys (see `evaluate`). Two annotations of a value are optional, and only a
contradiction of them makes answers differ: the name in "x = 5" and the unit in "5 cm". So 5 agrees
with x = 5 and with 5 cm, but x = 5 not with y = 5 and 5 cm not with 5 m.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from typing import Any

from tasks.voting import evaluate, units
from tasks.voting.extraction import MAX_ANSWER_CHARACTERS, MAX_DEPTH, depth
from tasks.voting.grammar import Node, Parser
from tasks.voting.normalise import DEGREE, TEXT_CLOSE, TEXT_OPEN, plain
from tasks.voting.tokens import FUNCTIONS, HardError, SyntaxFault, Token, is_word, tokens_of


class Status(Enum):
    """How far an answer was understood."""

    READ = "read"
    HARD = "hard"
    REFUSED = "refused"


@dataclass(frozen=True)
class Form:
    """An answer as read: its value as written (`bare`), and in base units or as a relation (`full`)."""

    status: Status
    text: str
    bare: Hashable = None
    full: Hashable = None
    name: str | None = None
    unit: Hashable = None

    @property
    def annotations(self) -> int:
        """How many of the optional parts the answer states."""
        return (self.name is not None) + (self.unit is not None)

    @property
    def key(self) -> Hashable:
        """Equal for answers that are equal in every part."""
        return (self.full, self.name, self.unit)


def agree(a: Form, b: Form) -> bool:
    """Whether two read answers are equal, an annotation that one of them lacks being no difference."""
    if a.text == b.text or a.full == b.full:
        return True
    if a.name is not None and b.name is not None and a.name != b.name:
        return False
    if a.unit is not None and b.unit is not None:
        return False
    return (a.annotations > 0 or b.annotations > 0) and a.bare is not None and a.bare == b.bare


_INTEGER = re.compile(r"[+-]?\d{1,300}")
_WORDS = re.compile(r"[A-Za-z][A-Za-z' -]*[A-Za-z]")
_PIECE = re.compile(r"[A-Za-z]+|\d+(?:\.\d+)?|[^\sA-Za-z\d]")
_IGNORED = frozenset(".,;:!?'\"$(){}[]\\`" + TEXT_OPEN + TEXT_CLOSE)
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
        piece if len(piece) == 1 else piece.lower()
        for piece in _PIECE.findall(text)
        if piece not in _IGNORED
    )
    if not pieces:
        pieces = tuple(text.split())
    value = ("text", _SYNONYMS.get(pieces, pieces))
    return Form(Status.READ, text, value, value)


def _read_plain(text: str) -> Form:
    whole = re.fullmatch(rf"{TEXT_OPEN}([^{TEXT_CLOSE}]*){TEXT_CLOSE}", text)
    if whole:
        return _read_plain(plain(whole.group(1)))
    if _WORDS.fullmatch(text) and any(is_word(word) for word in re.split(r"[ '-]+", text)):
        return _as_text(text)
    tokens = tokens_of(text)
    if not tokens:
        return _as_text(text)
    value, unit, sure = _split_unit(tokens)
    if unit is not None:
        return _quantity(text, value, unit, sure)
    name = _word_name(tokens)
    if name is not None:
        inner = _read_tokens(text, tokens[name[1] :])
        return Form(Status.READ, text, inner.bare, (name[0], inner.full), name[0], inner.unit)
    return _read_tokens(text, tokens)


def _word_name(tokens: list[Token]) -> tuple[str, int] | None:
    """The name and length of a left side such as "Area =" or "f(x) =", None for other texts."""
    for position, token in enumerate(tokens[:8]):
        if token.text == "=" and position:
            left = tokens[:position]
            spelled = "".join(t.text.strip() for t in left)
            if any(t.text == "=" for t in tokens[position + 1 :]):
                return None
            words = all(t.kind in ("text", "letters") for t in left)
            if words and (len(left) > 1 or left[0].kind == "text" or is_word(left[0].text)):
                return spelled.lower() if len(spelled) > 2 else spelled, position + 1
            if re.fullmatch(r"\\?[A-Za-z]+'*\([A-Za-z](,[A-Za-z])*\)", spelled):
                return spelled, position + 1
            return None
        if token.kind not in ("text", "letters", "command") and token.text not in "(),'":
            return None
    return None


def _read_tokens(text: str, tokens: list[Token]) -> Form:
    value, unit, sure = _split_unit(tokens)
    if unit is not None:
        return _quantity(text, value, unit, sure)
    return _form(text, Parser(list(tokens)).answer())


def _split_unit(tokens: list[Token]) -> tuple[list[Token], units.Unit | None, bool]:
    """(tokens of the value, unit, whether it is surely a unit) of an answer such as "5 cm"."""
    first = tokens[0]
    if first.kind == "text" and units.is_known(first.text.strip()) and len(tokens) > 1:
        money = units.parse(first.text.strip(), nouns=False)
        if all(t.kind in ("number", "mark", "command", "science") for t in tokens[1:]):
            return tokens[1:], money, True
    if first.text in ("-", "+") and len(tokens) > 2 and tokens[1].kind == "text":
        rest, unit, sure = _split_unit(tokens[1:])
        return ([first, *rest], unit, sure) if unit is not None else (tokens, None, False)
    for start in range(1, len(tokens)):
        token, before = tokens[start], tokens[start - 1]
        if token.text == DEGREE and start == len(tokens) - 1 or _is_temperature(tokens[start:]):
            if any(t.text.lstrip("\\") in FUNCTIONS for t in tokens):
                break  # An angle inside a function is a number, not an answer in degrees.
            names = {"C": "degC", "F": "degF"}
            unit = units.KNOWN[names.get(tokens[-1].text.strip(), "deg")]
            return tokens[:start], unit, True
        if token.kind not in ("letters", "text") or not _ends_value(before):
            continue
        tail = tokens[start:]
        if not all(t.kind in ("letters", "text", "number") or t.text in ("/", "*", "^", "\\cdot", "{", "}", "-")
                   for t in tail):  # fmt: skip
            continue
        if any(is_operator(t) for t in tokens[:start]):
            continue
        spelled = " ".join(t.text.strip().replace("\\cdot", "*") for t in tail)
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
        token.kind in ("letters", "text") and token.text.strip().lower() in ("and", "or")
    )


def _is_temperature(tail: list[Token]) -> bool:
    return len(tail) == 2 and tail[0].text == DEGREE and tail[1].text.strip() in ("C", "F")


def _ends_value(token: Token) -> bool:
    return token.kind in ("number", "science", "repeat") or token.text in (")", "}", "]", "!", "|", "\\pi")


def _quantity(text: str, tokens: list[Token], unit: units.Unit, sure: bool) -> Form:
    node = Parser(list(tokens)).answer()
    value = expression_key(node)
    scaled = expression_key(("mul", node, ("num", unit.factor)))
    full = ("quantity", scaled, unit.dimension)
    if not unit.dimension:
        return Form(Status.READ, text, scaled, scaled)
    return Form(Status.READ, text, value if sure else None, full, None, unit.dimension)


def expression_key(node: Node) -> Hashable:
    """Key of an expression or structure; a plus-minus is the set of its two values."""
    tag = node[0]
    if tag == "seq":
        return _sequence_key(node)
    if tag == "list":
        return _list_key([expression_key(item) for item in node[2:]])
    if tag == "matrix":
        return ("matrix", tuple(tuple(expression_key(cell) for cell in row) for row in node[1]))
    if tag == "sets":
        return _set_key(node)
    if tag == "ratio" and len(node) > 3:
        first = node[1]
        return ("ratio", *(expression_key(("div", item, first)) for item in node[2:]))
    if tag == "rel":
        return relation_key(node)
    infinite = _infinity(node)
    if infinite is not None:
        return ("inf", infinite)
    if tag in ("add", "mul", "neg", "div") and _has_structure(node):
        raise HardError("arithmetic of points, sets or matrices")
    if evaluate.has_plus_minus(node):
        return _list_key([evaluate.key(node, 1), evaluate.key(node, -1)], unique=True)
    return evaluate.key(node)


def _has_structure(node: Any) -> bool:
    return isinstance(node, tuple) and bool(node) and (
        node[0] in ("seq", "matrix", "list", "sets") or any(_has_structure(item) for item in node[1:])
    )


def _infinity(node: Node) -> int | None:
    if node == ("const", "inf"):
        return 1
    if node[0] == "neg" and node[1] == ("const", "inf"):
        return -1
    return None


def _sequence_key(node: Node) -> Hashable:
    opening, closing = node[1], node[2]
    items = [expression_key(item) for item in node[3:]]
    if opening == "\\{":
        return _list_key(_flat(node[3:], items), unique=True)
    return ("seq", opening, closing, *items)


def _flat(nodes: tuple[Node, ...], keys: list[Hashable]) -> list[Hashable]:
    """Keys with the two values of a plus-minus side by side."""
    flat: list[Hashable] = []
    for node, item in zip(nodes, keys, strict=True):
        if node[0] not in ("seq", "list") and evaluate.has_plus_minus(node) and isinstance(item, tuple):
            flat.extend(item[1])
        else:
            flat.append(item)
    return flat


def _list_key(items: list[Hashable], unique: bool = False) -> Hashable:
    """Order does not count; repetition does, except in a set."""
    counts = Counter(items)
    if unique or all(count == 1 for count in counts.values()):
        return ("set", frozenset(counts))
    return ("bag", frozenset(counts.items()))


def _set_key(node: Node) -> Hashable:
    operator, left, right = node[1:]
    if operator == "cup":
        parts: list[Hashable] = []
        for side in (left, right):
            found = expression_key(side)
            parts.extend(found[1] if isinstance(found, tuple) and found[0] == "union" else [found])
        return ("union", frozenset(parts))
    sides = (expression_key(left), expression_key(right))
    return (operator, frozenset(sides) if operator == "cap" else sides)


def relation_key(node: Node) -> Hashable:
    """Key of a relation: the same for 2x + 2y = 2 and x + y = 1, and for x > 5 and 5 < x."""
    parts = [
        _comparison_key(operator, node[2][position], node[2][position + 1])
        for position, operator in enumerate(node[1])
    ]
    return parts[0] if len(parts) == 1 else ("both", frozenset(parts))


def _comparison_key(operator: str, left: Node, right: Node) -> Hashable:
    if operator == "in":
        return ("in", expression_key(left), expression_key(right))
    if _has_structure(left) or _has_structure(right) or evaluate.has_plus_minus((left, right)):
        return (operator, expression_key(left), expression_key(right))
    if operator in ("<", "<="):
        left, right, operator = right, left, operator.replace("<", ">")
    if _infinity(left) or _infinity(right):
        return (operator, expression_key(left), expression_key(right))
    difference: Node = ("add", left, ("neg", right))
    if not evaluate.symbols(difference):
        return (operator, expression_key(left), expression_key(right))
    values = evaluate.values_at_points(difference)
    if not values[0]:
        return (operator, "always")
    scale = values[0] if operator in ("=", "!=") else abs(values[0])
    evaluator = evaluate.Evaluator({}, 1)
    inverse = evaluator.power(scale, Fraction(-1))
    ratios = [None if v is None else evaluate.rounded(evaluator.times(v, inverse)) for v in values]
    return (operator, *ratios)


def _interval(node: Node) -> tuple[str, Node] | None:
    """(name, interval) of a relation such as 1 < x <= 3 or x >= 2, None for another one."""
    operators, sides = node[1], node[2]
    if any(operator not in ("<", "<=", ">", ">=") for operator in operators):
        return None
    if len(sides) == 2:
        infinity: Node = ("const", "inf")
        if sides[0][0] == "sym" and not evaluate.symbols(sides[1]):
            below = operators[0][0] == "<"
            bound = sides[1]
        elif sides[1][0] == "sym" and not evaluate.symbols(sides[0]):
            below = operators[0][0] == ">"
            bound = sides[0]
        else:
            return None
        closed = operators[0].endswith("=")
        name = sides[0][1] if sides[0][0] == "sym" else sides[1][1]
        if below:
            return name, ("seq", "(", "]" if closed else ")", ("neg", infinity), bound)
        return name, ("seq", "[" if closed else "(", ")", bound, infinity)
    if len(sides) != 3 or operators[0][0] != operators[1][0] or sides[1][0] != "sym":
        return None
    if evaluate.symbols((sides[0], sides[2])):
        return None
    low, high = operators[0], operators[1]
    left, right = sides[0], sides[2]
    if low[0] == ">":
        low, high, left, right = high, low, right, left
    return sides[1][1], (
        "seq", "[" if low.endswith("=") else "(", "]" if high.endswith("=") else ")", left, right,
    )  # fmt: skip


def _assignment(node: Node) -> tuple[str, Node] | None:
    """(name, value) of x = value, value = x or x in set; None for another relation."""
    operators, sides = node[1], node[2]
    if operators == ("in",) and sides[0][0] == "sym":
        return sides[0][1], sides[1]
    if any(operator != "=" for operator in operators):
        return None
    left, right = sides[0], sides[-1]
    if right[0] == "sym" and left[0] != "sym" and len(sides) == 2:
        left, right = right, left
    if left[0] == "sym" and right[0] != "sym" and left[1] not in evaluate.symbols(right):
        return left[1], right
    if left[0] == "seq" and right[0] == "seq" and all(item[0] == "sym" for item in left[3:]):
        return "(" + ",".join(item[1] for item in left[3:]) + ")", right
    return None


def _form(text: str, node: Node) -> Form:
    if node[0] == "rel":
        return _relation_form(text, node)
    if node[0] == "list":
        return _list_form(text, node)
    value = expression_key(node)
    return Form(Status.READ, text, value, value)


def _relation_form(text: str, node: Node) -> Form:
    found = _assignment(node) or _interval(node)
    if found is not None:
        name, right = found
        bare = expression_key(right)
        full: Hashable = (name, bare) if _has_structure(right) else relation_key(("rel", ("=",), (("sym", name), right)))
        if evaluate.has_plus_minus(right):
            full = (name, bare)
        return Form(Status.READ, text, bare, full, name)
    if all(operator == "=" for operator in node[1]) and not evaluate.symbols(node):
        keys = {expression_key(side) for side in node[2]}
        if len(keys) == 1:
            value = keys.pop()
            return Form(Status.READ, text, value, value)
    return Form(Status.READ, text, None, relation_key(node))


def _list_form(text: str, node: Node) -> Form:
    joiner, items = node[1], list(node[2:])
    names: set[str] = set()
    values: list[Node] = []
    for item in items:
        if item[0] != "rel":
            values.append(item)
            continue
        found = _assignment(item) or (_interval(item) if joiner == "or" else None)
        if found is None:
            break
        names.add(found[0])
        values.append(found[1])
    else:
        if len(names) <= 1:
            keys = _flat(tuple(values), [expression_key(value) for value in values])
            intervals = any(v[0] in ("seq", "sets") and v[1] != "\\{" for v in values)
            union = joiner == "or" and intervals
            bare: Hashable = ("union", frozenset(keys)) if union else _list_key(keys)
            name = names.pop() if names else None
            return Form(Status.READ, text, bare, bare if name is None else (name, bare), name)
    keys = [expression_key(item) for item in items]
    if all(item[0] == "rel" for item in items):
        return Form(Status.READ, text, None, ("either" if joiner == "or" else "both", frozenset(keys)))
    return Form(Status.READ, text, None, ("mixed", joiner == "or", frozenset(keys)))
