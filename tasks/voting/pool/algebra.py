"""What only a computer algebra system can read: runs inside worker processes, never in the caller.

Everything here may take forever or all memory; `workers` bounds both.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from functools import lru_cache
from typing import Any

import math_verify
import sympy  # type: ignore[import-untyped]

from data import domains
from tasks.voting.reading import evaluator
from tasks.voting.reading.evaluator import POINTS, constant_key, context, point, rounded
from tasks.voting.reading.lexicon import GREEK


def parsed(answer: str) -> list[Any]:
    """What math-verify makes of an answer: sympy objects and the text, empty where nothing is found."""
    bare = answer.replace("$", " ").strip()
    return math_verify.parse(f"${bare}$", parsing_timeout=None, raise_on_error=False)


def probe(answer: str) -> Hashable | None:
    """The key of an answer (see `evaluate`) if it is a number or an expression, else None."""
    found = [item for item in parsed(answer) if isinstance(item, sympy.Expr)]
    if not found:
        return None
    expression = found[0].doit()
    if expression.has(sympy.Integral, sympy.Sum, sympy.Product, sympy.Limit, sympy.oo, sympy.zoo, sympy.nan):
        return None
    names = {symbol: _name(str(symbol)) for symbol in expression.free_symbols}
    values = []
    for number in range(POINTS if names else 1):
        substitution = {}
        for symbol, name in names.items():
            value = point(name, number)
            substitution[symbol] = sympy.Rational(value.numerator, value.denominator)
        values.append(_number(sympy.N(expression.subs(substitution), evaluator.DIGITS)))
    if any(value is None for value in values):
        return None
    if not names:
        return constant_key(values[0])
    digits = [rounded(value) for value in values]
    if all(part == digits[0] for part in digits):
        return constant_key(values[0])
    return ("f", *digits)


def _name(symbol: str) -> str:
    plain = re.sub(r"[{}]", "", symbol)
    return "\\" + plain if plain in GREEK else plain


def _number(value: Any) -> Any:
    real, imaginary = value.as_real_imag()
    if not (real.is_Number and imaginary.is_Number and real.is_finite and imaginary.is_finite):
        return None
    ctx = context()
    parts = [ctx.mpf(str(part)) for part in (real, imaginary)]
    return ctx.mpc(*parts) if parts[1] != 0 else parts[0]


def verify(left: str, right: str) -> bool:
    """math-verify's opinion on a pair, asked in both directions because it is not symmetric."""
    a, b = parsed(left), parsed(right)
    return any(
        math_verify.verify(gold, answer, timeout_seconds=None, raise_on_error=False)
        for gold, answer in ((a, b), (b, a))
    )


def _by_domain(domain: str, left: str, right: str) -> bool:
    """The opinion of a domain's own equality."""
    equal = _domain(domain).equal
    return equal is not None and bool(equal(left, right))


_domain = lru_cache(domains.get)


def answer_request(request: list[str]) -> Any:
    """The reply to ["probe", answer], ["verify", left, right] or ["equal", domain, left, right]."""
    if request[0] == "equal":
        return _by_domain(*request[1:])
    return probe(request[1]) if request[0] == "probe" else verify(request[1], request[2])


def warm_up() -> None:
    """Import and build all that a first request would otherwise pay for within its time limit."""
    for answer in (r"\frac{1}{2}+\sqrt{x}", r"\int_0^1 x^2 dx", r"\sum_{k=1}^{3} k"):
        probe(answer)
    verify(r"\{1,2\}", "(1,2)")
