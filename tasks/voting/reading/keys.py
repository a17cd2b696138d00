"""The key of a tree at one point: every node of the tree is in it, or Uncomputed is raised."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Hashable
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from typing import Any

from tasks.voting.reading.cursor import Node, has, symbols
from tasks.voting.reading.evaluator import Evaluator, Value, number_key
from tasks.voting.reading.tokens import Uncomputed

REALS = ("seq", "(", ")", ("inf", -1), ("inf", 1))
# An expression without i has no real value at the point: a fact, as its value elsewhere is.
OUTSIDE = ("outside",)
Rows = tuple[tuple[Node, ...], ...]
_STRUCTURES = ("seq", "matrix", "list", "sets", "cases", "rel", "builder", "word", "mod")


class Point(Evaluator):
    """Evaluates unknown functions too: f(2) is a number that depends on f and on the key of 2."""

    def _apply(self, name: str, *arguments: Node) -> Value:
        keys = repr((name, [key_at(argument, self) for argument in arguments])).encode()
        return Fraction(1 + int.from_bytes(hashlib.sha256(keys).digest()[:8], "big"), 2**62)


def key_at(node: Node, here: Point, beside: Point | None = None) -> Hashable:
    """The key of a tree at a point; equations are scaled by what they are at a point beside it, if given."""
    return _Keys(here, beside or here).key(node)


class _Keys:
    def __init__(self, here: Point, beside: Point) -> None:
        self.here = here
        self.beside = beside

    def key(self, node: Node) -> Hashable:
        method = getattr(self, f"_{node[0]}", None)
        if method is not None:
            found: Hashable = method(*node[1:])
            return found
        if has(node, "matrix") and (rows := _cells(node)):
            return self._matrix(rows)
        infinite = _infinity(node)
        if infinite:
            return ("inf", infinite)
        if has(node, "pm"):
            if self.here.sign < 0:
                raise Uncomputed("a plus-minus in a plus-minus")
            both = [
                _Keys(Point(self.here.values, sign, self.here.exact), self.beside).number(node)
                for sign in (1, -1)
            ]
            return list_key(both, unique=True)
        return self.number(node)

    def number(self, node: Node) -> Hashable:
        value = self.here.value(node)
        if symbols(node) and not isinstance(value, Fraction) and value.imag != 0 and not _mentions_i(node):
            return OUTSIDE
        return number_key(value, self.here.exact)

    def _word(self, *words: str) -> Hashable:
        return ("text", words)

    def _matrix(self, rows: Rows) -> Hashable:
        cells = tuple(tuple(map(self.key, row)) for row in rows)
        if len(cells) > 1 and all(len(row) == 1 for row in cells):
            return ("seq", "(", ")", *(row[0] for row in cells))  # A column is a point.
        return ("matrix", cells)

    def _cases(self, rows: Rows) -> Hashable:
        return ("cases", frozenset(tuple(map(self.key, row)) for row in rows))

    def _seq(self, opening: str, closing: str, *items: Node) -> Hashable:
        keys = self._flat(items)
        if opening == "\\{":
            return list_key(keys, unique=True)
        return ("seq", opening, closing, *map(self.key, items))

    def _flat(self, items: tuple[Node, ...]) -> list[Hashable]:
        """Keys of items, the two values of a plus-minus side by side."""
        flat: list[Hashable] = []
        for item in items:
            key: Any = self.key(item)
            flat.extend(key[1] if item[0] not in _STRUCTURES and has(item, "pm") else [key])
        return flat

    def _list(self, joiner: str, *items: Node) -> Hashable:
        if joiner == "if":
            return ("if", *map(self.key, items))
        keys = self._flat(items)
        if any(item[0] in ("rel", "mod") for item in items):
            names = [item[2][0] for item in items if item[0] == "rel"]
            if (
                1 < len(set(names)) < len(names)
            ):  # Of x=1, y=2, x=3, y=4 the order tells what belongs together.
                return ("or" if joiner == "or" else "and", *keys)
            return ("either" if joiner == "or" else "both", frozenset(Counter(keys).items()))
        if joiner == "or":
            keys = list(dict.fromkeys(keys))
            if any(_is_half_open(item) for item in items):
                return _union(keys)
        return keys[0] if len(keys) == 1 else list_key(keys)

    def _ratio(self, *items: Node) -> Hashable:
        if len(items) == 2:
            return self.number(("div", *items))
        return ("ratio", *(self.key(("div", item, items[0])) for item in items[1:]))

    def _builder(self, name: str, condition: Node) -> Hashable:
        found = interval(condition) if condition[0] == "rel" else None
        if found is not None and found[0] == name:
            return self.key(found[1])
        return ("builder", name, self.key(condition))

    def _sets(self, operator: str, left: Node, right: Node) -> Hashable:
        sides: list[Any] = [self.key(left), self.key(right)]
        if operator == "cup":
            return _union(sides)
        if operator == "setminus" and sides[0] == REALS and sides[1][0] == "set":
            points = sorted(sides[1][1], key=lambda k: Fraction(k[1], k[2]) if k[0] == "q" else math.inf)
            if points and all(point[0] == "q" for point in points):
                bounds = [("inf", -1), *points, ("inf", 1)]
                return ("union", frozenset(("seq", "(", ")", a, b) for a, b in pairwise(bounds)))
        return (operator, frozenset(sides) if operator == "cap" else tuple(sides))

    def _mod(self, node: Node, modulus: Node) -> Hashable:
        """A congruence: x = 3 and x = 10 (mod 7) are the same."""
        size = self.here.value(modulus)
        if node[0] != "rel":
            return ("residue", self._residue(node, size), number_key(size, self.here.exact))
        if set(node[1]) - {"=", "equiv"}:
            raise Uncomputed("an inequality of residues")
        # No symbol has a value here: only x = 3 (mod 7) is reduced, x + 1 = 4 (mod 7) is not.
        return (
            "congruent",
            number_key(size, self.here.exact),
            frozenset(self._residue(side, size) for side in node[2]),
        )

    def _residue(self, node: Node, modulus: Any) -> Hashable:
        if symbols(node) or has(node, *_STRUCTURES):
            return self.key(node)
        value = self.here.value(node)
        if not (isinstance(value, Fraction) and isinstance(modulus, Fraction) and modulus > 0):
            raise Uncomputed("a residue that is no rational")
        return ("residue", value % modulus)

    def _rel(self, operators: tuple[str, ...], sides: tuple[Node, ...]) -> Hashable:
        """The same for 2x + 2y = 2 and x + y = 1, and for x > 5 and 5 < x."""
        parts = [self._comparison(op, *pair) for op, pair in zip(operators, pairwise(sides), strict=True)]
        return parts[0] if len(parts) == 1 else ("both", frozenset(parts))

    def _comparison(self, operator: str, left: Node, right: Node) -> Hashable:
        if operator in ("<", "<="):
            left, right, operator = right, left, operator.replace("<", ">")
        whole = (left, right)
        if operator in ("in", "~", "equiv") or has(whole, "pm", *_STRUCTURES) or ("const", "inf") in whole:
            return (operator, self.key(left), self.key(right))
        difference: Node = ("add", left, ("neg", right))
        if not symbols(difference) and not has(difference, "apply"):
            raise Uncomputed("a statement about numbers")
        if self.beside is self.here:
            return (operator, self.key(left), self.key(right))
        if not symbols(difference) or _infinity(left) or _infinity(right):
            keys = (self.key(left), self.key(right))
            return (operator, frozenset(keys) if operator in ("=", "!=") else keys)
        value, scale = self.here.value(difference), self.beside.value(difference)
        if scale == 0:
            raise Uncomputed("a point on the curve itself")
        if value == scale:
            raise Uncomputed("a statement about numbers, since its symbols cancel")
        if operator not in ("=", "!="):
            scale = abs(scale)
        for part in (value, scale):
            if not isinstance(part, Fraction) and part.imag != 0 and not _mentions_i(difference):
                return (operator, OUTSIDE)
        return (
            operator,
            number_key(self.here.times(value, self.here.power(scale, Fraction(-1))), self.here.exact),
        )


def _cells(node: Node) -> Rows:
    """The cells of a matrix, or of a sum or product with matrices; none of another tree."""
    tag, *parts = node
    if tag == "matrix":
        return node[1]
    sides = [_cells(part) for part in parts] if tag in ("add", "neg", "mul") else []
    if not any(sides):
        return ()
    if tag == "neg":
        return tuple(tuple(("neg", cell) for cell in row) for row in sides[0])
    left, right = sides
    if tag == "mul" and not (left and right):
        number = parts[0] if right else parts[1]
        return tuple(tuple(("mul", number, cell) for cell in row) for row in left or right)
    sizes = [(len(rows), *{len(row) for row in rows}) for rows in sides]
    if tag == "add" and sizes[0] == sizes[1] and len(sizes[0]) == 2:
        return tuple(
            tuple(("add", *cells) for cells in zip(*rows, strict=True))
            for rows in zip(left, right, strict=True)
        )
    if tag == "mul" and sizes[0][1:] == sizes[1][:1] and len(sizes[1]) == 2:
        columns = list(zip(*right, strict=True))
        return tuple(tuple(_scalar_product(row, column) for column in columns) for row in left)
    raise Uncomputed("matrices whose sizes do not fit")


def _scalar_product(row: tuple[Node, ...], column: tuple[Node, ...]) -> Node:
    products: list[Node] = [("mul", a, b) for a, b in zip(row, column, strict=True)]
    return reduce(lambda total, product: ("add", total, product), products)


def _mentions_i(node: Node) -> bool:
    return has(node, "const") and "i" in repr(node)


def _infinity(node: Node) -> int:
    if node == ("const", "inf"):
        return 1
    return -1 if node[0] == "neg" and node[1] == ("const", "inf") else 0


def _is_half_open(node: Node) -> bool:
    if node[0] == "sets":
        return True
    return node[0] == "seq" and (node[1:3] in (("(", "]"), ("[", ")")) or any(map(_infinity, node[3:])))


def list_key(items: list[Hashable], unique: bool = False) -> Hashable:
    """Order does not count; repetition does, except in a set."""
    counts = Counter(items)
    if unique or all(count == 1 for count in counts.values()):
        return ("set", frozenset(counts))
    return ("bag", frozenset(counts.items()))


def _union(keys: list[Any]) -> Hashable:
    """A union of sets: those of single points are one."""
    parts: set[Hashable] = set()
    points: set[Hashable] = set()
    for key in keys:
        if not isinstance(key, tuple) or key[0] not in ("union", "set", "seq"):
            parts.add(key)
        elif key[0] == "union":
            parts |= key[1]
        elif key[0] == "set":
            points |= key[1]
        else:
            parts.add(key)
    if points:
        parts.add(("set", frozenset(points)))
    return next(iter(parts)) if len(parts) == 1 else ("union", frozenset(parts))


def interval(node: Node) -> tuple[Hashable, Node] | None:
    """(name, interval) of a relation such as 1 < x <= 3 or x >= 2, None for another one."""
    operators, sides = node[1], node[2]
    if any(operator not in ("<", "<=", ">", ">=") for operator in operators):
        return None
    if operators[0][0] == ">":
        operators, sides = [op.replace(">", "<") for op in operators[::-1]], sides[::-1]
    if len(sides) == 2:
        infinity: Node = ("const", "inf")
        bounded_above = _is_quantity(sides[0])
        sides = (("neg", infinity), *sides) if bounded_above else (*sides, infinity)
        operators = ["<", *operators] if bounded_above else [*operators, "<"]
    ends = (sides[0], sides[-1])
    if len(sides) != 3 or operators[1][0] != "<" or symbols(ends) or has(ends, "apply"):
        return None
    opening, closing = "(["[len(operators[0]) - 1], ")]"[len(operators[1]) - 1]
    if not _is_quantity(sides[1]):
        return None
    name = sides[1][1] if sides[1][0] == "sym" else sides[1]
    return name, ("seq", opening, closing, *ends)


def _is_quantity(node: Node) -> bool:
    return node[0] in ("sym", "apply")


def assignment(node: Node) -> tuple[Hashable, Node] | None:
    """(name, value) of name = value, value = name or name in set; None for another relation."""
    operators, sides = node[1], node[2]
    if len(operators) != 1 or operators[0] not in ("=", "in", "~"):
        return None
    left, right = sides
    if right[0] == "sym" and left[0] != "sym" and operators[0] == "=":
        left, right = right, left
    if left[0] == "sym" and right[0] != "sym" and left[1] not in symbols(right):
        return left[1], right
    if left[0] == right[0] == "seq" and all(item[0] == "sym" for item in left[3:]):
        return left, right
    if operators[0] != "in" and _is_label(left) and not symbols(right):
        return left, right
    return None


def _is_label(node: Node) -> bool:
    """Whether a tree is the name of a quantity: f(x), P(A), |AB|, a ratio of symbols or segments."""
    if node[0] in ("apply", "word"):
        return True
    if node[0] == "call" and node[1] == "abs":
        return node[2][0] == "sym" and len(node[2][1]) > 1
    parts = node[1:] if node[0] in ("ratio", "div") else ()
    names = [part[1] for part in parts if part[0] == "sym"]
    return len(names) == len(parts) > 0 and (node[0] == "ratio" or min(map(len, names)) > 1)
