"""What an answer says: `read`, and `agree`, which compares two readings. The package states the invariant.

The name in "x = 5" and the unit in "5 cm" are optional: 5 agrees with x = 5 and with 5 cm, but x = 5
not with y = 5, and 5 cm not with 5 m.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from tasks.voting.extraction import MAX_ANSWER_CHARACTERS, MAX_DEPTH, depth
from tasks.voting.reading.cursor import Node, has, symbols
from tasks.voting.reading.evaluator import to_mp
from tasks.voting.reading.grammar import parse
from tasks.voting.reading.keys import Point, assignment, interval
from tasks.voting.reading.lexicon import JOINERS, is_word
from tasks.voting.reading.normalise import TEXT_CLOSE, TEXT_OPEN, plain
from tasks.voting.reading.primaries import in_base
from tasks.voting.reading.sampling import Key, key_of
from tasks.voting.reading.tokens import SyntaxFault, Token, Uncomputed, folded, spelling, tokens_of
from tasks.voting.reading.units import Dimension, split_unit

CALCULUS = ("sum", "prod", "int", "lim")


@dataclass(frozen=True, slots=True)
class Read:
    """An answer all of whose tokens are in what is compared.

    `value` is the value in base units and `bare` as it is written; `name` and `unit` are what the answer
    calls it and measures it in, where it says so. `relation` is the whole equation or inequality that a
    name or an interval was taken from.
    """

    text: str
    value: Key
    bare: Key
    name: Hashable | None = None
    unit: Dimension | None = None
    relation: Node | None = None

    @property
    def annotations(self) -> int:
        """How many of the optional parts are stated."""
        return (self.name is not None) + (self.unit is not None)

    @property
    def bucket(self) -> Hashable:
        """Equal for answers that are equal in every part."""
        return (self.value.bucket, self.bare.bucket, self.name, self.unit)


@dataclass(frozen=True, slots=True)
class Unread:
    """An answer that equals only its own spelling, in normal form."""

    text: str
    bucket: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pending:
    """An answer with sums, products, integrals or limits that only the algebra system can value."""

    text: str
    tree: Node
    otherwise: Unread
    name: Hashable | None = None

    @property
    def parts(self) -> list[Node]:
        """What to hand to the algebra system: the outermost of them."""
        return _outermost(self.tree)

    def valued(self, forms: dict[Node, Node | None]) -> Read | Unread:
        """The reading with a closed form for each part, or the spelling where one has none."""
        if any(forms[part] is None for part in self.parts):
            return self.otherwise
        try:
            reading = _from_tree(self.text, _replaced(self.tree, forms))
        except (SyntaxFault, Uncomputed, RecursionError, OverflowError):
            return self.otherwise
        return reading if self.name is None else replace(reading, name=self.name, relation=None)


@dataclass(frozen=True, slots=True)
class Refused:
    """An answer too long or too deeply nested to be read."""

    text: str


Reading = Read | Unread | Pending | Refused


def agree(a: Read | Unread, b: Read | Unread) -> bool:
    """Whether two answers are equal, an annotation that one of them lacks being no difference."""
    if a.text == b.text:
        return True
    if not (isinstance(a, Read) and isinstance(b, Read)):
        return type(a) is type(b) and a.bucket == b.bucket
    if a.name is None or b.name is None or a.name == b.name:
        one_unit = (a.unit is None) != (b.unit is None)
        if (a.unit == b.unit and a.value.same(b.value)) or (one_unit and a.bare.same(b.bare)):
            return True
    if a.relation is None or b.relation is None or (a.name == b.name and a.value.exact and b.value.exact):
        return False
    try:
        return key_of(a.relation).same(key_of(b.relation))
    except Uncomputed:
        return False


def real_number(answer: str) -> float | None:
    """The real number that an answer is, None for any other answer."""
    reading = read(answer)
    if not isinstance(reading, Read) or not reading.value.exact:
        return None
    try:
        return float(Point({}).value(reading.value.tree))
    except (Uncomputed, OverflowError, TypeError):
        return None


_INTEGER = re.compile(r"[+-]?\d{1,300}")
_CLOCK = re.compile(r"\d{1,2}(?::\d\d)?\s*[ap]\.?m\.?", re.IGNORECASE)
_NUMERAL = re.compile(r"([0-9A-Z]*[A-F][0-9A-Z]*)_\{?(1[1-9]|2\d|3[0-6])\}?")
_FUNCTION_NAME = re.compile(r"(?:\\?[A-Za-z]+'*)(?:\^\{?-1\}?)?\([A-Za-z\d](?:,[A-Za-z\d])*\)")
_NO_SOLUTION = (("no", "solution"), ("empty", "set"))
_EMPTY_SET: Node = ("seq", "\\{", "\\}")


@lru_cache(maxsize=1 << 14)
def read(answer: str) -> Reading:
    """The reading of an answer; in bounded time, since long or deeply nested ones are refused."""
    if _INTEGER.fullmatch(answer):
        return _number(answer, Fraction(int(answer)))
    if len(answer) > 4 * MAX_ANSWER_CHARACTERS:
        answer = " ".join(answer.split())
        if len(answer) > MAX_ANSWER_CHARACTERS:
            return Refused(answer)
    text = plain(answer)
    if len(text) > MAX_ANSWER_CHARACTERS or depth(text) > MAX_DEPTH:
        return Refused(text)
    whole = re.fullmatch(rf"{TEXT_OPEN}([^{TEXT_CLOSE}]*){TEXT_CLOSE}", text)
    if whole:
        text = plain(whole.group(1))
    tokens = tokens_of(text)
    unread = Unread(text, spelling(tokens))
    try:
        return _read(text, tokens, unread)
    except (SyntaxFault, Uncomputed, RecursionError, OverflowError):
        return unread


def _number(text: str, number: Fraction) -> Read:
    # The tree that a parser would make, so that every spelling of a number has one reading.
    size: Node = ("num", abs(number))
    tree: Node = ("neg", size) if text.startswith("-") else size
    key = Key(("q", number.numerator, number.denominator), tree, True)
    return Read(text, key, key)


def _read(text: str, tokens: list[Token], unread: Unread) -> Reading:
    if _CLOCK.fullmatch(text):
        return Unread(text, (text.replace(".", "").replace(" ", "").lower(),))
    numeral = _NUMERAL.fullmatch(text)
    if numeral:
        return _number(text, Fraction(in_base(numeral.group(1), int(numeral.group(2)))))
    if unread.bucket in _NO_SOLUTION:
        return _form(text, _EMPTY_SET, unread)
    name, rest = _label(tokens)
    if name is None:
        return _value(text, tokens, unread)
    inner = _value(text, rest, unread)
    if isinstance(inner, Pending):
        return replace(inner, name=name)
    if not isinstance(inner, Read) or inner.name is not None:
        raise SyntaxFault("what a name stands for is no value")
    return replace(inner, name=name, relation=None)


def _label(tokens: list[Token]) -> tuple[Hashable | None, list[Token]]:
    """The name on the left of "Area = 5", "f(x) = 2x" or "r = 5 cm", and the tokens on the right."""
    equals = [at for at, token in enumerate(tokens) if token.text in ("=", "\\approx")]
    if len(equals) != 1 or not 0 < equals[0] < len(tokens) - 1:
        return None, tokens
    left, right = tokens[: equals[0]], tokens[equals[0] + 1 :]
    spelt = "".join(token.text for token in left)
    words = [piece for token in left for piece in token.text.split()]
    prose = any(token.kind == "text" and len(token.text) > 1 for token in left) or any(map(is_word, words))
    if prose and all(token.kind in ("text", "letters") for token in left) and all(map(str.isalpha, words)):
        if not JOINERS & {word.lower() for word in words}:
            return tuple(map(folded, words)), right
        return None, tokens
    if _FUNCTION_NAME.fullmatch(spelt) and not _has_joiner(right):
        return spelt, right
    if split_unit(right)[1] is not None:
        node = parse(list(left))
        found = assignment(("rel", ("=",), (node, ("num", Fraction(1)))))
        return (found[0], right) if found else (None, tokens)
    return None, tokens


def _has_joiner(tokens: list[Token]) -> bool:
    level = 0
    for token in tokens:
        level += (token.text in ("(", "[", "{", "\\{")) - (token.text in (")", "]", "}", "\\}"))
        if level == 0 and (token.text in (",", ";", "\\quad", "\\\\") or token.text.lower() in JOINERS):
            return True
    return False


def _value(text: str, tokens: list[Token], unread: Unread) -> Reading:
    inside = tokens[1:-1]
    if [token.text for token in tokens[:1] + tokens[-1:]] == ["(", ")"] and split_unit(inside)[1] is not None:
        tokens = inside  # (5 cm)
    value, unit, sure = split_unit(tokens)
    if unit is None:
        return _form(text, parse(list(tokens)), unread)
    node = parse(list(value))
    if has(node, "rel", *CALCULUS):
        raise SyntaxFault("a unit of no value")
    scaled = key_of(("mul", node, ("num", unit.factor)) if unit.factor != 1 else node)
    if not unit.dimension:
        return Read(text, scaled, scaled)
    # "5m" may be a product: it agrees with other lengths, but not with a bare 5.
    bare = key_of(node) if sure else Key(("unit or factor", text), node, True)
    return Read(text, scaled, bare, unit=unit.dimension)


def _outermost(node: Node) -> list[Node]:
    if node and node[0] in CALCULUS:
        return [node]
    return [part for item in node if isinstance(item, tuple) for part in _outermost(item)]


def _replaced(node: Node, forms: dict[Node, Node | None]) -> Node:
    if node and node[0] in CALCULUS:
        return forms[node] or node
    return tuple(_replaced(item, forms) if isinstance(item, tuple) else item for item in node)


def _form(text: str, node: Node, unread: Unread) -> Reading:
    return Pending(text, node, unread) if has(node, *CALCULUS) else _from_tree(text, node)


def _from_tree(text: str, node: Node) -> Read:
    name, value = _named(text, node)
    key = key_of(value)
    if node[0] == "rel" and isinstance(name, tuple) and name[0] == "seq" and len(name) == len(value):
        # (x, y) = (1, 2) is x = 1, y = 2.
        node = ("list", ",", *(("rel", ("=",), pair) for pair in zip(name[3:], value[3:], strict=True)))
    return Read(text, key, key, name, relation=node if has(node, "rel") else None)


def _named(text: str, node: Node) -> tuple[Hashable | None, Node]:
    """(name, value) of what gives a value a name, (None, the tree itself) for all else."""
    if node[0] == "rel":
        return (
            interval(node) or _approximation(text, node) or _chain(node) or assignment(node) or (None, node)
        )
    if node[0] != "list" or node[1] == "if":
        return None, node
    names: set[Hashable] = set()
    values: list[Node] = []
    for item in node[2:]:
        if item[0] != "rel":
            values.append(item)
            continue
        found = assignment(item) or (interval(item) if node[1] == "or" else None)
        if found is None or has(found[1], "rel"):
            return None, node
        names.add(found[0])
        values.append(found[1])
    if len(names) > 1:
        return None, node
    return (names.pop() if names else None), ("list", node[1], *values)


def _approximation(text: str, node: Node) -> tuple[None, Node] | None:
    """The exact value of "1/3, about 0.33": the decimal must be its correct rounding, and says no more."""
    exact, rounded = node[2][0], node[2][-1]
    if node[1] != ("~",) or symbols(node) or (rounded[1] if rounded[0] == "neg" else rounded)[0] != "num":
        return None
    written = re.search(r"\.(\d+)$", text)
    digits = len(written.group(1)) if written else 0
    if abs(to_mp(Point({}).value(exact)) - to_mp(Point({}).value(rounded))) * 2 * 10**digits > 1:
        raise SyntaxFault("no rounding of what it stands beside")
    return None, exact


def _chain(node: Node) -> tuple[Hashable | None, Node] | None:
    """x = 1 + 2 = 3 is x = 3, and 1 + 2 = 3 is 3, where all sides but the first have the same value."""
    operators, sides = node[1], node[2]
    if set(operators) != {"="}:
        return None
    values = sides if not symbols(sides[0]) else sides[1:]
    if symbols(values) or len(values) < 2 or has(values, "pm"):
        return None
    if len({key_of(side).bucket for side in values}) > 1:
        raise SyntaxFault("sides that are not equal")
    if len(values) == len(sides):
        return None, sides[-1]
    return assignment(("rel", ("=",), (sides[0], sides[-1])))
