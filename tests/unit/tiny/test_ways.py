"""What a Solver writes: each step at once or in parts, some wrong at once, in parts wrong but by chance."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import domains
from data.tiny import ways
from data.tiny.arithmetic import Chain, random_chain, solution, steps_shown

STEP = re.compile(r" [a-z]([+-][1-9])(?:(:)([+-][1-9])=(\d+)([+-][1-9])=(\d+)| =(\d+))")


def _steps(text: str) -> list[tuple[int, int, bool, int]]:
    """Of each step that has a result: the value before it, the step, whether in parts, the result."""
    value, found = int(re.match(r"\d+", text).group()), []  # type: ignore[union-attr]
    for step, parted, first, middle, second, after, at_once in STEP.findall(text):
        if parted:
            assert int(middle) == value + int(first)
            assert int(first) + int(second) == int(step)
        result = int(after or at_once)
        found.append((value, int(step), bool(parted), result))
        value = result
    assert text.endswith((f"\n\\boxed{{{value}}}", "=?"))
    return found


@pytest.mark.parametrize(
    ("value", "step", "want"),
    [
        (37, 5, (3, 2)),
        (37, 3, (1, 2)),
        (37, -8, (-7, -1)),
        (40, -8, (-4, -4)),
        (40, 8, (4, 4)),
        (34, 6, (3, 3)),
        (31, 9, (4, 5)),
        (38, 2, (1, 1)),
        (39, 2, (1, 1)),
        (39, 1, None),
        (40, -1, None),
    ],
)
def test_parts_go_over_the_ten_where_it_is_crossed_and_else_by_halves(
    value: int, step: int, want: tuple[int, int] | None
) -> None:
    assert ways.parts(value, step) == want


def test_of_the_sums_at_once_so_many_are_misremembered_and_none_of_a_small_step() -> None:
    wrong = {
        (unit, step) for unit in range(10) for step in range(-5, 6) if step and ways.misremembered(unit, step)
    }
    assert len(wrong) == ways.MISREMEMBERED
    assert min(abs(step) for _, step in wrong) >= ways.SMALLEST_MISREMEMBERED
    assert all(ways.misremembered(unit + 40, step) == ways.misremembered(unit, step) for unit, step in wrong)


@given(st.integers(0, 10**9), st.integers(2, 12))
def test_in_parts_every_step_of_a_chain_is_right(seed: int, length: int) -> None:
    rng = random.Random(seed)
    chain = random_chain(rng, length)
    steps = _steps(solution(chain, rng, 0.0, 1.0, hurry=0.0))
    assert [step for _, step, _, _ in steps] == list(chain.steps)
    for value, step, parted, result in steps:
        assert parted == (abs(step) > 1)
        assert result == value + step or not parted


def test_at_once_what_is_misremembered_is_always_wrong_and_mostly_in_the_same_way() -> None:
    rng, seen = random.Random(0), Counter[bool]()
    for _ in range(3000):
        for value, step, parted, result in _steps(solution(random_chain(rng, 8), rng, 0.0, 0.0)):
            assert not parted
            errors = ways.misremembered(value, step)
            assert (result == value + step) == (errors is None)
            if errors:
                seen[result - value - step in errors] += 1
    assert ways.MAIN_SHARE < seen[True] / seen.total() < ways.MAIN_SHARE + 0.15


def test_the_longer_a_sum_gets_the_fewer_steps_are_in_parts_and_the_more_are_wrong_by_chance() -> None:
    rng = random.Random(0)
    solutions = [_steps(solution(random_chain(rng, 8), rng, 0.03, 0.44)) for _ in range(20_000)]
    for number in range(7):
        reached = [steps[number] for steps in solutions if len(steps) > number]
        steps = [one for one in reached if abs(one[1]) > 1]
        parted = [one for one in steps if one[2]]
        assert len(parted) / len(steps) == pytest.approx(0.44 - ways.HURRY * number, abs=0.025)
        wrong = [result != value + step for value, step, _, result in parted]
        assert sum(wrong) / len(wrong) == pytest.approx(0.03 * number, abs=0.025)


def test_a_step_out_of_the_range_gets_no_answer_whatever_the_way() -> None:
    for share in (0.0, 1.0):
        assert solution(Chain(95, (8,)), random.Random(0), 0.0, share) == "95 a+8=?"


@given(st.integers(0, 10**9), st.integers(2, 12), st.floats(0, 1))
def test_the_steps_that_a_solution_shows_are_read_back_with_their_ways(
    seed: int, length: int, parts_share: float
) -> None:
    text = solution(random_chain(random.Random(seed), length), random.Random(seed), 0.1, parts_share)
    assert steps_shown(text) == [(value, step, parted) for value, step, parted, _ in _steps(text)]


@given(st.text(alphabet=" ab+-:=123\n"))
def test_no_text_makes_the_reader_of_steps_fail(text: str) -> None:
    assert len(steps_shown(f"37{text}")) <= len(text)


def test_a_habit_is_counted_where_it_is_needed_and_elsewhere_and_not_of_a_step_of_one() -> None:
    rng = random.Random(0)
    habits = domains.get("arithmetic").habits
    assert habits is not None
    for share in (0.0, 1.0):
        needed, elsewhere, ones = 0, 0, 0
        counted: Counter[tuple[str, bool]] = Counter()
        for _ in range(50):
            chain = random_chain(rng, 6)
            counted.update(habits(solution(chain, rng, 0.0, share, hurry=0.0)))
            for value, step, _, _ in _steps(solution(chain, rng, 0.0, 1.0, hurry=0.0)):
                wrong = ways.misremembered(value, step) is not None
                ones += abs(step) == 1
                needed += wrong
                elsewhere += abs(step) > 1 and not wrong
        assert ones
        if share == 1.0:
            assert counted == {
                ("steps in parts, where needed", True): needed,
                ("steps in parts, elsewhere", True): elsewhere,
            }
        else:
            assert {shown for _, shown in counted} == {False}
