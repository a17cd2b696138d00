"""The value of a tree at one point: exact rationals as long as possible, else 120 decimal digits."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Hashable
from fractions import Fraction
from typing import Any

import mpmath  # type: ignore[import-untyped]

from tasks.voting.reading.cursor import Node
from tasks.voting.reading.tokens import Uncomputed

DIGITS = 120
KEY_DIGITS = 60
# Bits that cancellation may cost before a sum is taken for zero: all but the noise of 400 bits.
NOISE_BITS = 330
# Bits that it may cost otherwise: the digits of a key must be left, or the sum is not computed.
LOST_BITS = 190
LARGEST_BITS = 100_000
LARGEST_MAGNITUDE = 10_000_000
LARGEST_FACTORIAL = 3000

# Functions that do not take one argument.
_ARITIES = {"binomial": (2,), "mod": (2,), "log": (1, 2)}

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


def number_key(value: Value, exact: bool) -> Hashable:
    """("q", numerator, denominator) or 60 digits of an exact number, 190 bits of a sampled one."""
    if not exact:
        return ("f", *(_rounded(part) for part in (value.real, value.imag)))
    if isinstance(value, Fraction):
        return ("q", value.numerator, value.denominator)
    real, imaginary = _snapped(value.real), _snapped(value.imag)
    if isinstance(real, Fraction) and imaginary == 0:
        return ("q", real.numerator, real.denominator)
    return ("c", _part(real), _part(imaginary))


def _rounded(value: Value) -> Hashable:
    """The first bits of a real number and their exponent, alike for rationals and floating point."""
    if value == 0:
        return 0
    if isinstance(value, Fraction | int):
        top, bottom, exponent = value.numerator, value.denominator, 0
    else:
        sign, mantissa, exponent, _ = value._mpf_
        top, bottom = (-1 if sign else 1) * int(mantissa), 1
    shift = LOST_BITS + 1 - abs(top).bit_length() + bottom.bit_length()
    digits = (abs(top) << shift) // bottom if shift >= 0 else abs(top) // (bottom << -shift)
    extra = digits.bit_length() - LOST_BITS
    digits = (digits + (1 << (extra - 1))) >> extra
    carry = digits >> LOST_BITS
    return (1 if top > 0 else -1, digits >> carry, exponent - shift + extra + carry)


def _part(value: Value) -> Hashable:
    if isinstance(value, Fraction):
        return (value.numerator, value.denominator)
    return str(context().nstr(value, KEY_DIGITS))


def _snapped(value: Value) -> Value:
    """The simple rational that a value is within noise of, else the value."""
    if value == 0:
        return Fraction(0)
    ctx = context()
    if abs(ctx.mag(value)) > 120:
        return value
    sign, mantissa, exponent, _ = value._mpf_
    exact = Fraction(int(mantissa)) * Fraction(2) ** exponent * (-1 if sign else 1)
    for largest, bits in ((10**12, LOST_BITS - 10), (10**25, NOISE_BITS - 30)):
        near = exact.limit_denominator(largest)
        if abs(exact - near) < Fraction(1, 2**bits) * max(1, abs(near)):
            return near
    return value


def to_mp(value: Value) -> Any:
    """A value as an mpmath number."""
    if isinstance(value, Fraction):
        ctx = context()
        return ctx.mpf(value.numerator) / value.denominator
    return value


def _tame(value: Value) -> Value:
    """A finite complex value without the noise beside its larger part."""
    ctx = context()
    if not ctx.isfinite(value):
        raise Uncomputed("no finite value")
    if isinstance(value, ctx.mpc):
        if value.imag == 0 or (value.real != 0 and ctx.mag(value.imag) < ctx.mag(value.real) - NOISE_BITS):
            return value.real
        if value.real != 0 and ctx.mag(value.real) < ctx.mag(value.imag) - NOISE_BITS:
            return ctx.mpc(0, value.imag)
    return value


def _is_rational(node: Node) -> bool:
    """Whether a tree is a number as it is written, such as -1/3."""
    return node[0] == "num" or (node[0] in ("neg", "div") and all(map(_is_rational, node[1:])))


def _rational_root(x: Fraction, degree: int) -> Fraction | None:
    """The exact root of a positive rational, None where it is irrational."""
    if x < 0 or degree > 64:
        return None
    top, bottom = _integer_root(x.numerator, degree), _integer_root(x.denominator, degree)
    return Fraction(top, bottom) if Fraction(top**degree, bottom**degree) == x else None


def _integer_root(number: int, degree: int) -> int:
    """The root of a positive integer, rounded down: Newton's method from above."""
    root = 1 << -(-number.bit_length() // degree)
    while (better := ((degree - 1) * root + number // root ** (degree - 1)) // degree) < root:
        root = better
    return root


# Names of mpmath where they are not those of the grammar: arcsin is asin, and arsinh asinh.
_MPMATH = {
    **{f"arc{name}": f"a{name}" for name in ("sin", "cos", "tan", "cot", "sec", "csc")},
    **{f"ar{name}": f"a{name}" for name in ("sinh", "cosh", "tanh", "coth", "sech", "csch")},
}


class Evaluator:
    """Evaluates trees where symbols have the given values; raises Uncomputed where there is no value."""

    def __init__(self, values: dict[str, Fraction], sign: int = 1, exact: bool | None = None) -> None:
        self.values = values
        self.sign = sign  # Picks one of the two values of a plus-minus.
        self.exact = not values if exact is None else exact

    def value(self, node: Node) -> Value:
        """The value of a tree."""
        method: Callable[..., Value] | None = getattr(self, f"_{node[0]}", None)
        if method is None:
            raise Uncomputed(f"{node[0]} has no single value")
        return method(*node[1:])

    def _fitting(self, value: Fraction) -> Value:
        """A rational; of very many digits, it is rounded at a sample point and refused elsewhere."""
        if max(value.numerator.bit_length(), value.denominator.bit_length()) <= LARGEST_BITS:
            return value
        if self.exact:
            raise Uncomputed("a number of too many digits")
        return to_mp(value)

    def _num(self, value: Fraction) -> Value:
        return value

    def _sym(self, name: str) -> Value:
        return self.values[name]

    def _const(self, name: str) -> Value:
        ctx = context()
        if name == "inf":
            raise Uncomputed("infinity in arithmetic")
        return {"pi": +ctx.pi, "e": +ctx.e, "i": ctx.mpc(0, 1)}[name]

    def _add(self, a: Node, b: Node) -> Value:
        return self.plus(self.value(a), self.value(b))

    def plus(self, x: Value, y: Value) -> Value:
        """A sum, zero where nothing but noise is left of it."""
        if isinstance(x, Fraction) and isinstance(y, Fraction):
            return self._fitting(x + y)
        x, y = to_mp(x), to_mp(y)
        ctx = context()
        total = x + y
        if x == 0 or y == 0:
            return _tame(total)
        smaller, larger = sorted((ctx.mag(x), ctx.mag(y)))
        lost = NOISE_BITS + 1 if total == 0 else larger - ctx.mag(total)
        if larger - smaller > LOST_BITS or (lost > LOST_BITS and (larger > LOST_BITS or lost < NOISE_BITS)):
            raise Uncomputed("a sum whose digits are not known")
        return Fraction(0) if lost > NOISE_BITS else _tame(total)

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
            return self._fitting(x * y)
        if x == 0 or y == 0:
            return Fraction(0)
        return _tame(to_mp(x) * to_mp(y))

    def _div(self, a: Node, b: Node) -> Value:
        x, y = self.value(a), self.value(b)
        if y == 0:
            raise Uncomputed("division by zero")
        if isinstance(x, Fraction) and isinstance(y, Fraction):
            return self._fitting(x / y)
        return Fraction(0) if x == 0 else _tame(to_mp(x) / to_mp(y))

    def _ratio(self, *items: Node) -> Value:
        if len(items) != 2:
            raise Uncomputed("a ratio of several numbers")
        return self._div(*items)

    def _degrees(self, a: Node) -> Value:
        return self.times(self.value(a), context().pi / 180)

    def _pow(self, a: Node, b: Node) -> Value:
        return self.power(self.value(a), self.value(b), real_root=_is_rational(b))

    def power(self, x: Value, y: Value, real_root: bool = True) -> Value:
        """A power: exact where it is rational, the real one of odd roots, else the principal value."""
        ctx = context()
        if x == 0:
            if isinstance(y, Fraction) and y >= 0:
                return Fraction(1 if y == 0 else 0)
            raise Uncomputed("a power of zero")
        if isinstance(x, Fraction) and isinstance(y, Fraction):
            if y.denominator == 1:
                bits = max(x.numerator.bit_length(), x.denominator.bit_length())
                if x in (1, -1):
                    return x if y.numerator % 2 else Fraction(1)
                if bits * abs(y.numerator) <= LARGEST_BITS:
                    return x**y.numerator
                if self.exact:
                    raise Uncomputed("too large a power")
            elif x < 0 and y.denominator % 2 and real_root:
                # As in school: (-8)^(1/3) is -2.
                size = self.power(-x, y)
                return -size if y.numerator % 2 else size
            else:
                root = _rational_root(x, y.denominator)
                if root is not None:
                    return self.power(root, Fraction(y.numerator))
        base, exponent = to_mp(x), to_mp(y)
        if exponent != 0 and (
            not -80 < ctx.mag(exponent) < 60 or abs(exponent) * max(1, abs(ctx.mag(base))) > LARGEST_MAGNITUDE
        ):
            raise Uncomputed("too large a power")
        return _tame(ctx.power(base, exponent))

    def _call(self, name: str, *arguments: Node) -> Value:
        values = [self.value(argument) for argument in arguments]
        if name in ("max", "min", "gcd", "lcm") and values:
            return self._of_several(name, values)
        if len(values) not in _ARITIES.get(name, (1,)):
            raise Uncomputed(f"{name} does not take {len(values)} arguments")
        method: Callable[..., Value] | None = getattr(self, f"_of_{name}", None)
        return method(*values) if method else self._transcendental(name, *values)

    def _of_several(self, name: str, values: list[Value]) -> Value:
        rational = all(isinstance(value, Fraction) for value in values)
        if name in ("max", "min") and not any(isinstance(value, context().mpc) for value in values):
            return (max if name == "max" else min)(values, key=None if rational else to_mp)
        if not rational:
            raise Uncomputed(f"{name} of irrational numbers")
        bottom = math.lcm(*(value.denominator for value in values))
        whole = [int(value * bottom) for value in values]
        return Fraction(math.gcd(*whole) if name == "gcd" else math.lcm(*whole), bottom)

    def _of_mod(self, a: Value, n: Value) -> Value:
        if not (isinstance(a, Fraction) and isinstance(n, Fraction)) or n == 0:
            raise Uncomputed("a remainder of irrational numbers")
        return a % n

    def _of_binomial(self, n: Value, k: Value) -> Value:
        whole = isinstance(n, Fraction) and isinstance(k, Fraction) and n.denominator == k.denominator == 1
        if whole and k >= 0 and 0 <= n <= LARGEST_FACTORIAL:
            return Fraction(math.comb(int(n), int(k)))
        if self.exact:
            raise Uncomputed("a binomial coefficient of large numbers or fractions")
        below = self.times(self._of_factorial(k), self._of_factorial(self.plus(n, -k)))
        if below == 0:
            raise Uncomputed("a binomial coefficient outside its range")
        return self.times(self._of_factorial(n), self.power(below, Fraction(-1)))

    def _of_log(self, x: Value, base: Value = Fraction(10)) -> Value:
        top, bottom = self._of_ln(x), self._of_ln(base)
        if bottom == 0:
            raise Uncomputed("a logarithm to base 1")
        return Fraction(0) if top == 0 else _tame(to_mp(top) / to_mp(bottom))

    def _of_ln(self, x: Value) -> Value:
        if x == 0:
            raise Uncomputed("the logarithm of zero")
        if x == 1:
            return Fraction(0)
        number = to_mp(x)
        result = _tame(context().log(number))
        return Fraction(0) if context().mag(result) < -NOISE_BITS else result

    _of_lg = _of_log

    def _of_sqrt(self, x: Value) -> Value:
        return self.power(x, Fraction(1, 2))

    def _of_exp(self, x: Value) -> Value:
        return self.power(context().e, x)

    def _of_abs(self, x: Value) -> Value:
        return abs(x)

    def _of_factorial(self, x: Value) -> Value:
        if isinstance(x, Fraction) and x.denominator == 1 and 0 <= x <= LARGEST_FACTORIAL:
            return Fraction(math.factorial(int(x)))
        number = to_mp(x)
        if self.exact or (isinstance(x, Fraction) and x.denominator == 1 and x < 0) or abs(number) > 10**6:
            raise Uncomputed("a factorial of a large number or of a fraction")
        return _tame(context().gamma(number + 1))

    def _of_factorial2(self, x: Value) -> Value:
        if not (isinstance(x, Fraction) and x.denominator == 1 and 0 <= x <= LARGEST_FACTORIAL):
            raise Uncomputed("a double factorial of a large number or of a symbol")
        return Fraction(math.prod(range(int(x), 0, -2)))

    def _of_floor(self, x: Value) -> Value:
        return Fraction(math.floor(self._real(x)))

    def _of_ceil(self, x: Value) -> Value:
        return Fraction(math.ceil(self._real(x)))

    def _real(self, x: Value) -> Value:
        ctx = context()
        if isinstance(x, ctx.mpc) or (not isinstance(x, Fraction) and ctx.mag(x) > 300):
            raise Uncomputed("rounding of a complex or huge number")
        return x if isinstance(x, Fraction) else _snapped(x)

    def _transcendental(self, name: str, x: Value) -> Value:
        ctx = context()
        number = to_mp(x)
        if number != 0 and not -80 < ctx.mag(number) < (6 if name in ("tanh", "coth") else 100):
            raise Uncomputed(
                f"{name} of a number so large or small that the digits of the value are not known"
            )
        function = getattr(ctx, _MPMATH.get(name, name))
        try:
            result = _tame(function(number))
        except (ZeroDivisionError, ValueError, OverflowError) as fault:
            raise Uncomputed(f"{name} has no value there") from fault
        if name in ("sin", "cos", "tan", "cot", "sec", "csc") and ctx.mag(result) > NOISE_BITS:
            raise Uncomputed(f"{name} has a pole there")
        if result == 0 or ctx.mag(result) < min(0, ctx.mag(number) if number != 0 else 0) - NOISE_BITS:
            return Fraction(0)
        return result
