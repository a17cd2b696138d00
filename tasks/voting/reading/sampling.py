"""Sample points: whether two trees with symbols have the same value wherever both have one.

Points come from a hash of what is compared, so nobody can write an answer that differs from another
one only where nobody looks. They are small and large, of both signs, on the integers and off them,
and near the numbers that stand in the trees, where absolute values and roundings bend.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from tasks.voting.reading.cursor import Node, has, nodes, symbols
from tasks.voting.reading.keys import OUTSIDE, Point, key_at
from tasks.voting.reading.tokens import Uncomputed

BUCKET_POINTS = 3
# Points that must agree, of four times as many that are tried; more for functions with jumps and bends,
# but no more than a tree of that size is worth.
SMOOTH, BENT, WORK = 12, 64, 2000
_BENDING = frozenset(
    ("abs", "floor", "ceil", "mod", "gcd", "lcm", "max", "min", "sqrt", "factorial", "binomial")
)
_KINDS = 8


@dataclass(frozen=True, slots=True)
class Key:
    """What a tree says. Without symbols, `bucket` is its exact key; with them, equal trees share it."""

    bucket: Hashable
    tree: Node
    exact: bool

    def same(self, other: Key) -> bool:
        """Whether both trees say the same."""
        if self.bucket != other.bucket:
            return False
        return (self.exact and other.exact) or self.tree == other.tree or _confirmed(self.tree, other.tree)


@lru_cache(maxsize=1 << 14)
def key_of(tree: Node) -> Key:
    """The key of a tree; Uncomputed where it has no value at any point."""
    names = symbols(tree)
    if not names:
        return Key(key_at(tree, Point({})), tree, True)
    keys: list[Hashable] = []
    for number in range(BUCKET_POINTS):
        values = {name: _bucket_point(name, number) for name in names}
        beside = {name: _bucket_point(name, number + BUCKET_POINTS) for name in names}
        try:
            keys.append(key_at(tree, Point(values), Point(beside)))
        except Uncomputed:
            keys.append(("uncomputed", number))
    if all(isinstance(key, tuple) and key[:1] == ("uncomputed",) for key in keys):
        raise Uncomputed("no value at any point")
    bucket: Hashable = ("f", *keys)
    if all(key == keys[0] for key in keys) and keys[0] != OUTSIDE:
        # A constant in disguise, sin^2 x + cos^2 x: where the constant itself is.
        bucket = key_at(tree, Point(values, exact=True), Point(beside, exact=True))
    return Key(bucket, tree, False)


@lru_cache(maxsize=1 << 12)
def _bucket_point(name: str, number: int) -> Fraction:
    """A rational between 0.3 and 3, of either sign: the same for all answers, so that equal ones meet."""
    digest = hashlib.sha256(f"{number} {name}".encode()).digest()
    size = Fraction(300 + int.from_bytes(digest[:4], "big") % 2700, 997)
    return -size if number % BUCKET_POINTS == BUCKET_POINTS - 1 else size


@lru_cache(maxsize=1 << 14)
def _confirmed(a: Node, b: Node) -> bool:
    """Whether two trees agree at enough points drawn from their own content."""
    names = sorted(symbols((a, b)))
    content = "|".join(sorted((repr(a), repr(b))))
    generator = random.Random(hashlib.sha256(content.encode()).digest())
    needed = _points_needed(list(nodes((a, b))))
    anchors = sorted(set(_constants((a, b))))
    agreed = 0
    for number in range(4 * needed):
        here, beside = (Point({name: _point(generator, number, anchors) for name in names}) for _ in range(2))
        try:
            keys = key_at(a, here, beside), key_at(b, here, beside)
        except Uncomputed:
            continue
        if keys[0] != keys[1]:
            return False
        agreed += OUTSIDE[0] not in repr(keys[0])
        if agreed == needed:
            return True
    # Undefined almost everywhere, or beyond what is computed: not shown to be equal.
    return agreed >= needed // 2


def _constants(tree: Node) -> Iterator[Fraction]:
    """The sizes of the numbers that a tree is made of, such as 3, pi and 10^9."""
    for node in nodes(tree):
        if node[0] in ("num", "const", "pow", "mul", "div", "call") and not symbols(node):
            try:
                size = abs(Point({}).value(node))
            except Uncomputed:
                continue
            if 0 < size < 10**30:
                yield size if isinstance(size, Fraction) else Fraction(int(size * 9973) + 1, 9973)


def _point(generator: random.Random, number: int, anchors: Sequence[Fraction]) -> Fraction:
    """A value for one symbol; the first points have the same kind for all symbols, later ones a mixture."""
    kind = number % _KINDS if number < _KINDS else generator.randrange(_KINDS)
    size = Fraction(generator.randrange(1, 9973), 9973)
    sign = generator.choice((1, -1))
    if kind < 2:
        return (3, -3)[kind] * size
    if kind == 2:
        return sign * 100 * size
    if kind == 3:
        return Fraction(generator.randrange(2, 40))
    if kind == 4:
        return Fraction(sign * generator.randrange(1, 400))
    if kind == 5:
        return sign * 10 ** generator.randrange(2, 6) * size
    if not anchors:
        return sign * 9 * size
    anchor = generator.choice(anchors)
    if kind == 6:
        return anchor * generator.choice([*range(1, 13), *anchors]) * sign
    return anchor * (1 + sign * size / 8) * generator.choice((1, 1, -1))


def _points_needed(tree: list[Node]) -> int:
    if not any(map(_is_bent, tree)):
        return SMOOTH
    return max(SMOOTH, min(BENT, WORK // len(tree)))


def _is_bent(node: Node) -> bool:
    """Whether a node may hide a jump, a bend or a second branch."""
    if node[0] == "pow":
        return has(node[2], "div") or (node[2][0] == "num" and node[2][1].denominator > 1)
    return node[0] == "call" and node[1] in _BENDING
