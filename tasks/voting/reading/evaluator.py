"""The value of a tree: exact rationals as long as possible, else 120 decimal digits.

Two expressions count as equal when they have the same key. An expression without symbols is
evaluated once: its key is the exact rational, or 30 of its 120 digits. One with symbols is
evaluated at three fixed points (Schwartz, 1980), the last of them negative, so that |x| is not x.
Keys make equality an equivalence relation by construction, whatever the order of the answers.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Hashable
from fractions import Fraction
from typing import Any

import mpmath  # type: ignore[import-untyped]

from tasks.voting.reading.cursor import Node
from tasks.voting.reading.roots import rational_root
from tasks.voting.reading.tokens import HardError, SyntaxFault

DIGITS = 120
KEY_DIGITS = 30
# Bits that cancellation may cost before a sum is taken for zero: all but the noise of 400 bits.
NOISE_BITS = 330
LARGEST_BITS = 100_000
LARGEST_MAGNITUDE = 4000
LARGEST_FACTORIAL = 3000
POINTS = 3

Value = Any  # Fraction, mpf or mpc
_LOCAL = threading.local()


def context() -> Any:
    """This thread's mpmath context: the global one is shared and its precision mutable."""
    found = getattr(_LOCAL, "context", None)
    if found is None:
        found = mpmath.MPContext()
        found.dps = DIGITS
        _LOCAL.context = found
    return found


def symbols(node: Any) -> set[str]:
    """Names of the symbols in a tree."""
    found: set[str] = set()
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, tuple) and item:
            if item[0] == "sym":
                found.add(item[1])
            else:
                stack.extend(item)
    return found


def has_plus_minus(node: Any) -> bool:
    """Whether a tree stands for two values."""
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, tuple) and item:
            if item[0] == "pm":
                return True
            stack.extend(item)
    return False


def point(name: str, number: int) -> Fraction:
    """The value of a symbol at one of the points: a rational between 0.3 and 3, negative at the last."""
    digest = hashlib.sha256(f"{number} {name}".encode()).digest()
    size = Fraction(300 + int.from_bytes(digest[:4], "big") % 2700, 997)
    return -size if number == POINTS - 1 else size


def key(node: Node, sign: int = 1) -> Hashable:
    """The key of an expression; `sign` picks one of the two values of a plus-minus."""
    if not symbols(node):
        return constant_key(Evaluator({}, sign).value(node))
    values = values_at_points(node, sign)
    digits = [None if value is None else rounded(value) for value in values]
    if all(part in (None, digits[0]) for part in digits):
        return constant_key(values[0])
    return ("f", *digits)


def values_at_points(node: Node, sign: int = 1) -> list[Value]:
    """Values at the points; None at the negative one where a root or logarithm leaves the reals there."""
    names = symbols(node)
    values: list[Value] = []
    for number in range(POINTS):
        evaluator = Evaluator({name: point(name, number) for name in names}, sign)
        negative = number == POINTS - 1
        try:
            value = evaluator.value(node)
        except SyntaxFault:
            if not negative:
                raise
            value = None
        complex_there = value is not None and not isinstance(value, Fraction) and value.imag != 0
        values.append(None if negative and evaluator.left_reals and complex_there else value)
    return values


def constant_key(value: Value) -> Hashable:
    """("q", numerator, denominator) of a rational, else 30 digits of each part."""
    if isinstance(value, Fraction):
        return ("q", value.numerator, value.denominator)
    real, imaginary = _snapped(value.real), _snapped(value.imag)
    if isinstance(real, Fraction) and imaginary == 0:
        return ("q", real.numerator, real.denominator)
    return ("c", _part(real), _part(imaginary))


def _part(value: Value) -> Hashable:
    if isinstance(value, Fraction):
        return (value.numerator, value.denominator)
    return str(context().nstr(value, KEY_DIGITS))


def rounded(value: Value) -> Hashable:
    """30 digits of each part of a value."""
    number = to_mp(value)
    return (context().nstr(number.real, KEY_DIGITS), context().nstr(number.imag, KEY_DIGITS))


def _snapped(value: Value) -> Value:
    """The simple rational that a value is within noise of, else the value."""
    if value == 0:
        return Fraction(0)
    ctx = context()
    if abs(ctx.mag(value)) > 120:
        return value
    sign, mantissa, exponent, _ = value._mpf_
    exact = Fraction(int(mantissa)) * Fraction(2) ** exponent * (-1 if sign else 1)
    near = exact.limit_denominator(10**25)
    return near if abs(exact - near) < Fraction(1, 2 ** (NOISE_BITS - 30)) * max(1, abs(near)) else value


def to_mp(value: Value) -> Any:
    """A value as an mpmath number."""
    if isinstance(value, Fraction):
        ctx = context()
        return ctx.mpf(value.numerator) / value.denominator
    return value


def _checked(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > LARGEST_BITS:
        raise HardError("a number of too many digits")
    return value


def _tame(value: Value) -> Value:
    """A finite complex value without the noise beside its larger part."""
    ctx = context()
    if not ctx.isfinite(value):
        raise SyntaxFault("no finite value")
    if isinstance(value, ctx.mpc):
        if value.imag == 0 or (value.real != 0 and ctx.mag(value.imag) < ctx.mag(value.real) - NOISE_BITS):
            return value.real
        if value.real != 0 and ctx.mag(value.real) < ctx.mag(value.imag) - NOISE_BITS:
            return ctx.mpc(0, value.imag)
    return value


class Evaluator:
    """Evaluates trees at one point; raises HardError where that is beyond it, SyntaxFault for nonsense."""

    def __init__(self, values: dict[str, Fraction], sign: int) -> None:
        self.values = values
        self.sign = sign
        self.left_reals = False

    def value(self, node: Node) -> Value:
        """The value of a tree."""
        method: Callable[..., Value] | None = getattr(self, f"_{node[0]}", None)
        if method is None:
            raise SyntaxFault(f"{node[0]} has no single value")
        return method(*node[1:])

    def _num(self, value: Fraction) -> Value:
        return _checked(value)

    def _sym(self, name: str) -> Value:
        return self.values[name]

    def _const(self, name: str) -> Value:
        ctx = context()
        if name == "inf":
            raise SyntaxFault("infinity in arithmetic")
        return {"pi": +ctx.pi, "e": +ctx.e, "i": ctx.mpc(0, 1)}[name]

    def _add(self, a: Node, b: Node) -> Value:
        return self.plus(self.value(a), self.value(b))

    def plus(self, x: Value, y: Value) -> Value:
        """A sum, zero where nothing but noise is left of it."""
        if isinstance(x, Fraction) and isinstance(y, Fraction):
            return _checked(x + y)
        x, y = to_mp(x), to_mp(y)
        ctx = context()
        total = x + y
        if total == 0 or ctx.mag(total) < max(ctx.mag(x), ctx.mag(y)) - NOISE_BITS:
            return Fraction(0)
        return _tame(total)

    def _neg(self, a: Node) -> Value:
        return -self.value(a)

    def _pm(self, sign: int, a: Node, b: Node) -> Value:
        right = self.value(b)
        return self.plus(self.value(a), right if sign * self.sign > 0 else -right)

    def _mul(self, a: Node, b: Node) -> Value:
        return self.times(self.value(a), self.value(b))

    def times(self, x: Value, y: Value) -> Value:
        """A product."""
        if isinstance(x, Fraction) and isinstance(y, Fraction):
            return _checked(x * y)
        if x == 0 or y == 0:
            return Fraction(0)
        return _tame(to_mp(x) * to_mp(y))

    def _div(self, a: Node, b: Node) -> Value:
        x, y = self.value(a), self.value(b)
        if y == 0:
            raise SyntaxFault("division by zero")
        if isinstance(x, Fraction) and isinstance(y, Fraction):
            return _checked(x / y)
        return Fraction(0) if x == 0 else _tame(to_mp(x) / to_mp(y))

    def _ratio(self, *items: Node) -> Value:
        if len(items) != 2:
            raise SyntaxFault("a ratio of several numbers")
        return self._div(*items)

    def _degrees(self, a: Node) -> Value:
        return self.times(self.value(a), context().pi / 180)

    def _pow(self, a: Node, b: Node) -> Value:
        return self.power(self.value(a), self.value(b))

    def power(self, x: Value, y: Value) -> Value:
        """A power: exact where the result is rational, else the principal value."""
        ctx = context()
        if x == 0:
            if isinstance(y, Fraction) and y >= 0:
                return Fraction(1 if y == 0 else 0)
            raise SyntaxFault("a power of zero")
        if isinstance(x, Fraction) and isinstance(y, Fraction):
            if y.denominator == 1:
                bits = max(x.numerator.bit_length(), x.denominator.bit_length())
                if x in (1, -1):
                    return x if y.numerator % 2 else Fraction(1)
                if bits * abs(y.numerator) > LARGEST_BITS:
                    raise HardError("too large a power")
                return x**y.numerator
            if x < 0 and y.denominator % 2:
                # The real root, as in school: (-8)^(1/3) is -2.
                size = self.power(-x, y)
                return -size if y.numerator % 2 else size
            root = rational_root(x, y.denominator)
            if root is not None:
                return self.power(root, Fraction(y.numerator))
        base, exponent = to_mp(x), to_mp(y)
        if abs(ctx.mag(exponent)) > 60 and exponent != 0:
            raise HardError("too large an exponent")
        if exponent != 0 and abs(exponent) * max(1, abs(ctx.mag(base))) > LARGEST_BITS:
            raise HardError("too large a power")
        if not (isinstance(y, Fraction) and y.denominator == 1) and self._negative(base):
            self.left_reals = True
        return _tame(ctx.power(base, exponent))

    def _negative(self, value: Value) -> bool:
        ctx = context()
        return isinstance(value, ctx.mpc) or value < 0

    def _call(self, name: str, *arguments: Node) -> Value:
        values = [self.value(argument) for argument in arguments]
        if name in ("max", "min", "gcd", "lcm"):
            return self._of_several(name, values)
        if name == "binomial" and len(values) == 2:
            return self._binomial(*values)
        if name == "log":
            return self._logarithm(values[0], values[1] if len(values) > 1 else Fraction(10))
        if len(values) != 1:
            raise SyntaxFault(f"{name} takes one argument")
        x = values[0]
        simple = getattr(self, f"_of_{name}", None)
        if simple is not None:
            result: Value = simple(x)
            return result
        return self._transcendental(name, x)

    def _of_several(self, name: str, values: list[Value]) -> Value:
        if not all(isinstance(value, Fraction) for value in values):
            raise HardError(f"{name} of irrational numbers")
        if name in ("max", "min"):
            return max(values) if name == "max" else min(values)
        if any(value.denominator != 1 for value in values):
            raise SyntaxFault(f"{name} of fractions")
        whole = [int(value) for value in values]
        return Fraction(math.gcd(*whole) if name == "gcd" else math.lcm(*whole))

    def _binomial(self, n: Value, k: Value) -> Value:
        if not (isinstance(n, Fraction) and isinstance(k, Fraction) and n.denominator == k.denominator == 1):
            raise HardError("a binomial coefficient of symbols")
        if not (k >= 0 and 0 <= n <= LARGEST_FACTORIAL):
            raise HardError("a large binomial coefficient")
        return Fraction(math.comb(int(n), int(k)))

    def _logarithm(self, x: Value, base: Value) -> Value:
        top, bottom = self._of_ln(x), self._of_ln(base)
        if bottom == 0:
            raise SyntaxFault("a logarithm to base 1")
        return Fraction(0) if top == 0 else _tame(to_mp(top) / to_mp(bottom))

    def _of_ln(self, x: Value) -> Value:
        if x == 0:
            raise SyntaxFault("the logarithm of zero")
        if x == 1:
            return Fraction(0)
        number = to_mp(x)
        self.left_reals |= self._negative(number)
        result = _tame(context().log(number))
        return Fraction(0) if context().mag(result) < -NOISE_BITS else result

    def _of_lg(self, x: Value) -> Value:
        return self._logarithm(x, Fraction(10))

    def _of_sqrt(self, x: Value) -> Value:
        return self.power(x, Fraction(1, 2))

    def _of_exp(self, x: Value) -> Value:
        return self.power(context().e, x)

    def _of_abs(self, x: Value) -> Value:
        return abs(x)

    def _of_factorial(self, x: Value) -> Value:
        return Fraction(math.factorial(self._small(x)))

    def _of_factorial2(self, x: Value) -> Value:
        return Fraction(math.prod(range(self._small(x), 0, -2)))

    def _small(self, x: Value) -> int:
        if not (isinstance(x, Fraction) and x.denominator == 1 and 0 <= x <= LARGEST_FACTORIAL):
            raise HardError("a factorial of a large number or of a symbol")
        return int(x)

    def _of_floor(self, x: Value) -> Value:
        return Fraction(math.floor(self._real(x)))

    def _of_ceil(self, x: Value) -> Value:
        return Fraction(math.ceil(self._real(x)))

    def _real(self, x: Value) -> Value:
        ctx = context()
        if isinstance(x, ctx.mpc) or (not isinstance(x, Fraction) and ctx.mag(x) > 300):
            raise HardError("rounding of a complex or huge number")
        return x if isinstance(x, Fraction) else _snapped(x)

    def _transcendental(self, name: str, x: Value) -> Value:
        ctx = context()
        number = to_mp(x)
        if number != 0 and ctx.mag(number) > 100:
            raise HardError(f"{name} of a huge number")
        function = {"arcsin": ctx.asin, "arccos": ctx.acos, "arctan": ctx.atan}.get(name) or getattr(
            ctx, name
        )
        result = _tame(function(number))
        if name in ("sin", "cos", "tan", "cot", "sec", "csc") and ctx.mag(result) > NOISE_BITS:
            raise SyntaxFault(f"{name} has a pole there")
        if result == 0 or ctx.mag(result) < min(0, ctx.mag(number) if number != 0 else 0) - NOISE_BITS:
            return Fraction(0)
        return result
