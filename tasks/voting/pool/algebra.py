"""Sums, integrals and limits, by sympy: runs inside worker processes, never in the caller.

A request is a tree that the grammar made, and so is the reply: sympy never sees the text, hence it cannot
skip a part of it. What it does may take forever or all memory; `workers` bounds both.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache, reduce
from typing import Any

import sympy  # type: ignore[import-untyped]

from data import domains
from tasks.voting.reading.cursor import Node, packed, unpacked
from tasks.voting.reading.lexicon import INVERSES
from tasks.voting.reading.tokens import Uncomputed

_SAME_NAME = ("exp", "sqrt", "floor", "factorial", "factorial2", "binomial", "gcd", "lcm", *INVERSES)
_FUNCTIONS = {
    **{name: name for name in _SAME_NAME},
    **{inverse: "a" + name for name, inverse in INVERSES.items()},
    "ln": "log", "abs": "Abs", "ceil": "ceiling", "max": "Max", "min": "Min", "mod": "Mod",
}  # fmt: skip
_NAMES = {sympy_name: name for name, sympy_name in _FUNCTIONS.items()}
_NAMES["zeta"] = "zeta"
_OPERATORS: dict[str, Callable[..., Any]] = {
    "neg": operator.neg, "add": operator.add, "mul": operator.mul, "div": operator.truediv,
    "pow": operator.pow,
}  # fmt: skip
_CONSTANTS = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "inf": sympy.oo}


def to_sympy(node: Node) -> Any:
    """The sympy expression of a tree; Uncomputed for what is no expression."""
    tag, *parts = node
    if tag == "num":
        return sympy.Rational(parts[0].numerator, parts[0].denominator)
    if tag == "sym":
        return sympy.Symbol(parts[0])
    if tag == "const":
        return _CONSTANTS[parts[0]]
    if tag == "call":
        arguments = [to_sympy(part) for part in parts[1:]]
        if parts[0] in ("log", "lg"):
            return sympy.log(arguments[0], *(arguments[1:] or [10]))
        if parts[0] in _FUNCTIONS:
            return getattr(sympy, _FUNCTIONS[parts[0]])(*arguments)
    if tag == "lim":
        name, target, side, body = parts
        directions = (side,) if side else ("+", "-")
        goal = to_sympy(target)
        if goal in (sympy.oo, -sympy.oo):
            directions = ("-" if goal == sympy.oo else "+",)
        found = {sympy.limit(to_sympy(body), sympy.Symbol(name), goal, direction) for direction in directions}
        if len(found) > 1:
            raise Uncomputed("a limit that depends on the side")
        return found.pop()
    if tag in ("sum", "prod"):
        name, low, high, body = parts
        make = sympy.Sum if tag == "sum" else sympy.Product
        return make(to_sympy(body), (sympy.Symbol(name), to_sympy(low), to_sympy(high))).doit()
    if tag == "int":
        name, body, *bounds = parts
        return sympy.integrate(to_sympy(body), (sympy.Symbol(name), *map(to_sympy, bounds)))
    if tag == "degrees":
        return to_sympy(parts[0]) * sympy.pi / 180
    if tag in _OPERATORS:
        return _OPERATORS[tag](*map(to_sympy, parts))
    raise Uncomputed(f"{tag} is no expression")


def from_sympy(expression: Any) -> Node:
    """The tree of a sympy expression; Uncomputed where it holds what the evaluator cannot value."""
    if expression.is_Rational:
        return ("num", Fraction(int(expression.p), int(expression.q)))
    if expression.is_Symbol:
        return ("sym", str(expression))
    if expression == -sympy.oo:
        return ("neg", ("const", "inf"))
    for name, constant in _CONSTANTS.items():
        if expression == constant:
            return ("const", name)
    arguments = [from_sympy(argument) for argument in expression.args]
    if expression.func in (sympy.Add, sympy.Mul):
        tag = "add" if expression.func is sympy.Add else "mul"
        return reduce(lambda left, right: (tag, left, right), arguments)
    if expression.func is sympy.Pow:
        return ("pow", *arguments)
    name = expression.func.__name__
    if name in _NAMES:
        return ("call", _NAMES[name], *arguments)
    raise Uncomputed(f"{name} cannot be valued")


def _by_domain(domain: str, left: str, right: str) -> bool:
    """The opinion of a domain's own equality."""
    equal = _domain(domain).equal
    return equal is not None and bool(equal(left, right))


_domain = lru_cache(domains.get)


def answer_request(request: Any) -> Any:
    """The reply to ["equal", domain, left, right], or to a tree: its closed form, None where it has none."""
    if request[0] == "equal":
        return _by_domain(*request[1:])
    try:
        return packed(from_sympy(sympy.sympify(to_sympy(unpacked(request)))))
    except Uncomputed:
        return None


def warm_up() -> None:
    """Import and build all that a first request would otherwise pay for within its time limit."""
    k: Node = ("sym", "k")
    one, two = ("num", Fraction(1)), ("num", Fraction(2))
    bodies = (("sum", "k", one, two, k), ("int", "k", ("pow", k, two), one, two), ("lim", "k", one, "", k))
    for body in bodies:
        answer_request(packed(body))
