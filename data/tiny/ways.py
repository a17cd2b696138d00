"""Two ways to add a step in the tiny model's world: at once, or in parts.

At once is shorter, and wrong for some sums, as of a pupil who misremembers a table. In parts is right: over
the ten where the step crosses it, else by halves. Nothing in the text says which way is better.
"""

from __future__ import annotations

import random
from functools import cache

LARGEST_STEP = 5
"""Up or down."""
SMALLEST_MISREMEMBERED = 2
MISREMEMBERED = 32
"""Of the 80 pairs of a unit and a step of 2 to 5, up or down."""
MAIN_SHARE = 0.4
"""How often what is misremembered comes out as its own wrong value; at other times it is any other.

The likeliest of the wrong, and still rare enough that a vote with few steps in parts is mostly right."""
HURRY = 0.05
"""By how much each further step of a chain is less likely to be added in parts."""
_ERRORS = (-10, -3, -2, -1, 1, 2, 3, 10)


def parts(value: int, step: int) -> tuple[int, int] | None:
    """The two parts of a step; None of a step of one, which has none."""
    sign, size, unit = (1 if step > 0 else -1), abs(step), value % 10
    if size < 2:
        return None
    to_ten = 10 - unit if sign > 0 else unit
    first = to_ten if 0 < to_ten < size else size // 2
    return sign * first, sign * (size - first)


def misremembered(value: int, step: int) -> tuple[int, int] | None:
    """By how much the result at once is mostly wrong, and by how much where that leaves the range."""
    return _table().get((value % 10, step))


@cache
def _table() -> dict[tuple[int, int], tuple[int, int]]:
    """The same in every run: it is the world, not a draw from it."""
    rng = random.Random("rzero arithmetic misremembered")
    sizes = range(SMALLEST_MISREMEMBERED, LARGEST_STEP + 1)
    pairs = [(unit, sign * size) for unit in range(10) for size in sizes for sign in (1, -1)]
    table = {}
    for pair in rng.sample(pairs, MISREMEMBERED):
        error = rng.choice(_ERRORS)
        table[pair] = (error, -error)
    return table
