"""Keys of what the grammar reads beyond single expressions: points, sets, matrices, relations."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable
from fractions import Fraction
from itertools import pairwise
from typing import Any

from tasks.voting.reading import evaluator
from tasks.voting.reading.cursor import Node
from tasks.voting.reading.tokens import HardError

REALS = ("seq", "(", ")", ("inf", -1), ("inf", 1))


def expression_key(node: Node) -> Hashable:
    """Key of an expression or structure; a plus-minus is the set of its two values."""
    tag = node[0]
    if tag == "seq":
        return _sequence_key(node)
    if tag == "list":
        return list_key([expression_key(item) for item in node[2:]])
    if tag == "matrix":
        return ("matrix", tuple(tuple(expression_key(cell) for cell in row) for row in node[1]))
    if tag == "builder":
        found = interval(node[2]) if node[2][0] == "rel" else None
        if found is not None and found[0] == node[1]:
            return expression_key(found[1])
        return ("builder", expression_key(node[2]))
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
    if tag in ("add", "mul", "neg", "div") and has_structure(node):
        raise HardError("arithmetic of points, sets or matrices")
    if evaluator.has_plus_minus(node):
        return list_key([evaluator.key(node, 1), evaluator.key(node, -1)], unique=True)
    return evaluator.key(node)


def has_structure(node: Any) -> bool:
    return (
        isinstance(node, tuple)
        and bool(node)
        and (node[0] in ("seq", "matrix", "list", "sets") or any(has_structure(item) for item in node[1:]))
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
        return list_key(flat(node[3:], items), unique=True)
    return ("seq", opening, closing, *items)


def flat(nodes: tuple[Node, ...], keys: list[Hashable]) -> list[Hashable]:
    """Keys with the two values of a plus-minus side by side."""
    flat: list[Hashable] = []
    for node, item in zip(nodes, keys, strict=True):
        if node[0] not in ("seq", "list") and evaluator.has_plus_minus(node) and isinstance(item, tuple):
            flat.extend(item[1])
        else:
            flat.append(item)
    return flat


def list_key(items: list[Hashable], unique: bool = False) -> Hashable:
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
    if operator == "setminus" and sides[0] == REALS and isinstance(sides[1], tuple) and sides[1][0] == "set":
        points = sorted(sides[1][1], key=lambda k: Fraction(k[1], k[2]) if k[0] == "q" else math.inf)
        if points and all(point[0] == "q" for point in points):
            bounds = [("inf", -1), *points, ("inf", 1)]
            return ("union", frozenset(("seq", "(", ")", a, b) for a, b in pairwise(bounds)))
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
    if has_structure(left) or has_structure(right) or evaluator.has_plus_minus((left, right)):
        return (operator, expression_key(left), expression_key(right))
    if operator in ("<", "<="):
        left, right, operator = right, left, operator.replace("<", ">")
    if _infinity(left) or _infinity(right):
        return (operator, expression_key(left), expression_key(right))
    difference: Node = ("add", left, ("neg", right))
    if not evaluator.symbols(difference):
        return (operator, expression_key(left), expression_key(right))
    values = evaluator.values_at_points(difference)
    if not values[0]:
        return (operator, "always")
    scale = values[0] if operator in ("=", "!=") else abs(values[0])
    single = evaluator.Evaluator({}, 1)
    inverse = single.power(scale, Fraction(-1))
    ratios = [None if v is None else evaluator.rounded(single.times(v, inverse)) for v in values]
    return (operator, *ratios)


def interval(node: Node) -> tuple[str, Node] | None:
    """(name, interval) of a relation such as 1 < x <= 3 or x >= 2, None for another one."""
    operators, sides = node[1], node[2]
    if any(operator not in ("<", "<=", ">", ">=") for operator in operators):
        return None
    if len(sides) == 2:
        infinity: Node = ("const", "inf")
        if sides[0][0] == "sym" and not evaluator.symbols(sides[1]):
            below = operators[0][0] == "<"
            bound = sides[1]
        elif sides[1][0] == "sym" and not evaluator.symbols(sides[0]):
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
    if evaluator.symbols((sides[0], sides[2])):
        return None
    low, high = operators[0], operators[1]
    left, right = sides[0], sides[2]
    if low[0] == ">":
        low, high, left, right = high, low, right, left
    return sides[1][1], (
        "seq", "[" if low.endswith("=") else "(", "]" if high.endswith("=") else ")", left, right,
    )  # fmt: skip


def assignment(node: Node) -> tuple[str, Node] | None:
    """(name, value) of x = value, value = x or x in set; None for another relation."""
    operators, sides = node[1], node[2]
    if operators == ("in",) and sides[0][0] == "sym":
        return sides[0][1], sides[1]
    if any(operator != "=" for operator in operators):
        return None
    left, right = sides[0], sides[-1]
    if right[0] == "sym" and left[0] != "sym" and len(sides) == 2:
        left, right = right, left
    if left[0] == "sym" and right[0] != "sym" and left[1] not in evaluator.symbols(right):
        return left[1], right
    if left[0] == "seq" and right[0] == "seq" and all(item[0] == "sym" for item in left[3:]):
        return "(" + ",".join(item[1] for item in left[3:]) + ")", right
    return None
