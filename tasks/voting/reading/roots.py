"""Exact roots of rationals."""

from __future__ import annotations

import math
from fractions import Fraction


def rational_root(x: Fraction, degree: int) -> Fraction | None:
    """The exact root of a positive rational, None where it is irrational."""
    if x < 0 or degree > 64:
        return None
    top, bottom = _integer_root(x.numerator, degree), _integer_root(x.denominator, degree)
    return None if top is None or bottom is None else Fraction(top, bottom)


def _integer_root(number: int, degree: int) -> int | None:
    if degree == 2:
        root = math.isqrt(number)
        return root if root * root == number else None
    if number in (0, 1):
        return number
    low, high = 1, 1 << (number.bit_length() // degree + 1)
    while low < high:
        middle = (low + high) // 2
        if middle**degree < number:
            low = middle + 1
        else:
            high = middle
    return low if low**degree == number else None
