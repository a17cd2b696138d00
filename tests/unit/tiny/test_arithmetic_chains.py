"""Chains of sums: parsing, truth, the domain, the texts and the held-out set."""

from __future__ import annotations

import random
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import domains
from data.domain import Truth
from data.domains.arithmetic import truth
from data.tiny import arithmetic
from data.tiny.arithmetic import (
    ANY_START,
    LETTERS,
    Chain,
    drifting_chain,
    held_out,
    parse,
    random_chain,
    solution,
    straying_chain,
)

NUMBERS = st.integers(0, 999_999)
STEPS = st.lists(st.tuples(st.sampled_from("+-"), NUMBERS), max_size=26)


@pytest.mark.parametrize(
    ("question", "value", "length", "inside"),
    [
        ("37 a+5 b-8", "34", 3, True),
        ("37", "37", 1, True),
        ("9 a-9 b+0", "0", 3, True),
        ("95 a+4", "99", 2, True),
        ("95 a+5 b-9", "91", 3, False),
        ("3 a-5 b+9", "7", 3, False),
        ("20 a+12 b-15", "17", 3, True),
        ("5 a-70", "-65", 2, False),
        ("100 a-5", "95", 2, False),
    ],
)
def test_a_chain_has_its_true_value_its_terms_and_its_range(
    question: str, value: str, length: int, inside: bool
) -> None:
    assert truth(question) == Truth(value, inside, length)


@pytest.mark.parametrize(
    "question",
    [
        "",
        " 37 a+5",
        "37 a+ 5",
        "37 a +5",
        "37 +5",
        "37+5",
        "37a+5",
        "37 b+5",
        "37 A+5",
        "37 a+5 c-8",
        "37 a+5 a-8",
        "37 b+5 a-8",
        "37  a+5",
        "37 a+5 ",
        "37 a+5\n",
        "37 a+5=",
        "a+5",
        "-5 a+3",
        "37 a+",
        "37 a5",
        "37 a++5",
        "37 a+-5",
        "37 a*5",
        "037 a+5",
        "37 a+05",
        "3.5 a+1",
        "1e3",
        "0x10",
        "٣+٥",
        "²+1",
        "__import__('os')",
        "9" * 7,
        "1" + "".join(f" {letter}+1" for letter in LETTERS) + " a+1",
        "1" + " a+1" * 600,
    ],
)
def test_anything_but_a_plain_chain_has_no_truth(question: str) -> None:
    assert truth(question) == Truth(None, False, None)


@given(NUMBERS, STEPS)
def test_the_truth_is_the_sum_of_the_signed_numbers(start: int, steps: list[tuple[str, int]]) -> None:
    question = str(start) + "".join(
        f" {letter}{sign}{number}" for letter, (sign, number) in zip(LETTERS, steps, strict=False)
    )
    assert truth(question).answer == str(start + sum(n if sign == "+" else -n for sign, n in steps))
    assert truth(question).terms == 1 + len(steps)


@given(st.text())
def test_no_text_makes_the_parser_fail(text: str) -> None:
    value = truth(text).answer
    assert value is None or re.fullmatch("-?[0-9]+", value)


@given(st.integers(0, 10**9), st.integers(2, 27))
def test_a_random_chain_lies_in_the_domain_and_is_read_back(seed: int, length: int) -> None:
    chain = random_chain(random.Random(seed), length)
    assert parse(chain.question) == chain
    assert truth(chain.question) == Truth(str(chain.value), True, length)
    assert 35 <= chain.start <= 64
    assert all(1 <= abs(step) <= 5 for step in chain.steps)


def test_random_chains_use_every_start_and_every_step() -> None:
    rng = random.Random(0)
    chains = [random_chain(rng, 6) for _ in range(4000)]
    assert {chain.start for chain in chains} == set(range(35, 65))
    assert {step for chain in chains for step in chain.steps} == set(range(-5, 6)) - {0}


def test_drifting_chains_start_anywhere_stay_in_range_and_often_go_one_way() -> None:
    rng = random.Random(0)
    chains = [drifting_chain(rng, 6) for _ in range(8000)]
    assert {chain.start for chain in chains} == set(ANY_START)
    assert all(chain.in_range for chain in chains)
    assert {value for chain in chains for value in chain.partial_values} == set(range(100))
    assert {step for chain in chains for step in chain.steps} == set(range(-5, 6)) - {0}
    # Five steps of one sign, away from the ends: two in six chains that drift, one in sixteen of others.
    inner = [chain for chain in chains if 30 <= chain.start < 70]
    one_way = [chain for chain in inner if len({step > 0 for step in chain.steps}) == 1]
    assert 0.29 < len(one_way) / len(inner) < 0.38


@given(st.integers(0, 10**9), st.integers(2, 20))
def test_a_straying_chain_leaves_the_range_and_its_solution_gives_up_there(seed: int, length: int) -> None:
    rng = random.Random(seed)
    chain = straying_chain(rng, length)
    assert truth(chain.question) == Truth(str(chain.value), False, length)
    written = solution(chain, rng, 0.0, 1.0, hurry=0.0)
    assert "\\boxed" not in written
    assert written.endswith("=?")


def test_the_held_out_set_has_distinct_chains_and_longer_sets_begin_with_shorter_ones() -> None:
    chains = held_out(12, 40)
    assert [len(chain.steps) + 1 for chain in chains] == [k for k in range(2, 13) for _ in range(40)]
    assert len({chain.key for chain in chains}) == len(chains)
    assert held_out(14, 40)[: len(chains)] == chains


def test_the_held_out_set_is_the_same_in_another_process_and_needs_no_torch() -> None:
    code = (
        "import sys; from data.tiny.arithmetic import held_out; from data.benchmarks import load;"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules;"
        "print(held_out(12, 40)[-1].question)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == held_out(12, 40)[-1].question


def test_a_key_ignores_the_order_of_the_terms_and_nothing_else() -> None:
    assert Chain(5, (37, -8)).key == Chain(37, (5, -8)).key
    assert Chain(37, (5, -8)).key == Chain(37, (-8, 5)).key
    assert len({Chain(37, (5, -8)).key, Chain(37, (5, 8)).key, Chain(38, (5, -8)).key}) == 3


def test_lengths_lie_between_two_and_the_longest_and_decay() -> None:
    rng = random.Random(1)
    drawn = [arithmetic.random_length(rng, arithmetic.geometric_lengths(5, 0.5)) for _ in range(8000)]
    shares = [drawn.count(length) / len(drawn) for length in range(2, 6)]
    assert sum(shares) == 1
    assert shares == pytest.approx([8 / 15, 4 / 15, 2 / 15, 1 / 15], abs=0.02)


def test_short_lengths_fall_from_two_terms_on_and_keep_a_share_for_each_long_one() -> None:
    weights = arithmetic.short_lengths(20, 4.0, 0.1)
    assert sum(weights) == pytest.approx(1)
    assert list(weights) == sorted(weights, reverse=True)
    assert min(weights) == pytest.approx(0.1 / 19, abs=1e-4)


def test_what_is_no_chain_counts_as_out_of_the_domain() -> None:
    truth_of = domains.get("arithmetic").truth_of
    assert truth_of("-5 a+8") == Truth(None, False, None)
    assert truth_of("37 a+5") == Truth("42", True, 2)
    assert domains.get("mathematics").truth_of("37 a+5") == truth_of(None) == Truth()
