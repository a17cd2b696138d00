"""Two answers that differ are never called equal: whatever is changed in one, the verdict is unequal."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.voting.equivalence import Grader
from tasks.voting.reading.cursor import symbols
from tasks.voting.reading.forms import Pending, Read, Refused, Unread, agree, read

CORPUS = Path(__file__).parents[2] / "corpus"
ANSWERS = [
    line
    for line in (CORPUS / "answers.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]

# What is layout in an answer: the spelling of commands, and the columns of an array.
_LAYOUT = re.compile(r"\\[A-Za-z]+|(?:(?<=begin)|(?<=end))\{\w+\}|(?<=array\})\{\w+\}|(?<=\\mathbf)\{\w\}")
_OTHERS = {
    **dict.fromkeys("0123456789", "0123456789"),
    **dict.fromkeys("+-", "+-"),
    **dict.fromkeys("=<>", "=<>"),
    **dict.fromkeys("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "kzQ"),
    "!": [""],
    "%": [""],
    "|": [""],
    "'": [""],
}
_COMMANDS = {
    "le": "ge", "leq": "geq", "ge": "le", "geq": "leq", "ne": "le", "cup": "cap", "cap": "cup", "pm": "cdot",
    "sin": "cos", "cos": "sin", "tan": "cot", "alpha": "gamma", "beta": "gamma", "theta": "phi", "pi": "e",
    "ln": "sin", "infty": "pi", "text{ or }": "text{ and }", "in": "ne", "max": "min", "gcd": "max",
    "subset": "supset", "perp": "parallel", "approx": "ne", "equiv": "ne", "sinh": "cosh", "cosh": "tanh",
    "arctan": "arcsin", "sec": "csc", "lfloor": "lceil", "sqrt": "sin", "overline": "hat", "sum": "prod",
}  # fmt: skip
_COMMAND = re.compile(r"\\(" + "|".join(map(re.escape, _COMMANDS)) + r")(?![A-Za-z])")


def mutants(answer: str) -> Iterator[str]:
    """The answer with each digit, sign, relation and letter changed in turn."""
    layout = [match.span() for match in _LAYOUT.finditer(answer)]
    for at, character in enumerate(answer):
        if not any(start <= at < end for start, end in layout):
            for other in _OTHERS.get(character, ()):
                if other != character:
                    yield answer[:at] + other + answer[at + 1 :]
    for match in _COMMAND.finditer(answer):
        yield answer[: match.start(1)] + _COMMANDS[match.group(1)] + answer[match.end(1) :]


# Where a mutant has the same value, by arithmetic that owes nothing to the grader.
_INDEPENDENT: list[tuple[str, Callable[..., object]]] = [
    (r"\\binom\{(\d+)\}\{(\d+)\}", math.comb),
    (r"C\((\d+),(\d+)\)", math.comb),
    (r"\\lfloor (\d+)\.\d\\rfloor\+\\sqrt\{6\}", lambda whole: whole),
    (r"\\gcd\((\d+),(\d+)\)\+\\pi", math.gcd),
    (r"\\max\((\d+),(\d+)\)\+\\sqrt\{7\}", max),
    (r"\\sum_\{k=(\d+)\}\^\{(\d+)\}k\^2", lambda low, high: sum(k * k for k in range(low, high + 1))),
    (r"\\prod_\{k=(\d+)\}\^\{(\d+)\}k", lambda low, high: math.prod(range(low, high + 1))),
    # The term for k = 0 is 0.
    (r"\\sum_\{k=(\d+)\}\^\{n\}k", lambda low: max(low, 1)),
    # Values joined by "and", "or" or a comma are a list.
    (r"(?:x=)?(\d+) \\text\{ (?:or|and) \} (?:x=-)?(\d+)", lambda *values: values),
    (r"\((\d+),(\d+)\) \\text\{ (?:or|and) \} \((\d+),(\d+)\)", lambda *values: values),
]


def same_by_arithmetic(a: str, b: str) -> bool:
    for pattern, value in _INDEPENDENT:
        found = re.fullmatch(pattern, a), re.fullmatch(pattern, b)
        if found[0] and found[1]:
            first, second = (value(*map(int, match.groups())) for match in found if match)
            return first == second
    return False


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader(timeout_seconds=60.0) as shared:
        yield shared


@pytest.mark.slow  # every answer of the corpus with each of its characters changed
def test_an_answer_with_one_character_changed_is_another_answer(grader: Grader) -> None:
    pairs = [(answer, mutant) for answer in ANSWERS for mutant in dict.fromkeys(mutants(answer))]
    verdicts = grader.equivalent(pairs)
    assert len(set(ANSWERS)) >= 400
    assert len(pairs) >= 12_000
    wrong = [
        (pair, verdict)
        for pair, verdict in zip(pairs, verdicts, strict=True)
        if verdict is not False and not same_by_arithmetic(*pair)
    ]
    assert wrong == []


# Equal by their mathematics; all others that are equal do not state the same parts.
_SAME = [
    (r"\frac{3}{4}", ".75"),
    ("120^\\circ", r"\binom{10}{3}"),
    (r"x\ge 8", r"[8,\infty)"),
    (r"\begin{cases}x=1\\y=2\end{cases}", "x=1, y=2"),
    (r"x\sqrt{x}", "x^{3/2}"),
    (r"\cosh x", r"\frac{e^x+e^{-x}}{2}"),
    (r"\int_0^3 x^2\,dx", r"\overline{AB}=9"),
    (r"\lim_{x\to 0}\frac{\sin 3x}{x}", "1+2=3"),
]
_BARE = re.compile(r".*(?:=|\\text|cm|units|rad)")


def test_different_answers_of_the_corpus_are_different(grader: Grader) -> None:
    pairs = [(a, b) for at, a in enumerate(ANSWERS) for b in ANSWERS[:at]]
    equal = [pair for pair, verdict in zip(pairs, grader.equivalent(pairs), strict=True) if verdict]
    assert set(_SAME) <= set(equal)
    assert len(equal) <= 18
    assert [pair for pair in equal if pair not in _SAME and not any(map(_BARE.match, pair))] == []


def test_the_classes_of_differences_and_of_spellings_are_told_apart(grader: Grader) -> None:
    rows = [json.loads(line) for line in (CORPUS / "classes.jsonl").read_text(encoding="utf-8").splitlines()]
    pairs = [(row["a"], row["b"]) for row in rows]
    wrong = [
        row
        for row, verdict in zip(rows, grader.equivalent(pairs), strict=True)
        if verdict is not row["equal"]
    ]
    assert len(rows) >= 160
    assert wrong == []
    assert grader.equivalent([(b, a) for a, b in pairs]) == grader.equivalent(pairs)


_PIECE = re.compile(r"\\[A-Za-z]+|\d+|\s+|.")
# Zero swallows factors, one swallows exponents, its logarithm is zero, and these swallow digits by meaning.
_SWALLOWS = re.compile(r"0|1 *\^|ln *1(?!\d)|max|min|gcd|lcm|floor|ceil|mod|binom|tanh|C\(|approx|[Aa]nswer")


def scrambled(a: str, b: str, chance: st.DataObject) -> str:
    """Pieces of two answers in an order that means nothing."""
    pieces = [*_PIECE.findall(a), *_PIECE.findall(b)]
    order = (
        chance.draw(st.permutations(range(len(pieces)))) if chance.draw(st.booleans()) else range(len(pieces))
    )
    kept = chance.draw(st.integers(2, len(pieces)))
    return "".join(pieces[at] for at in list(order)[-kept:])


def symbols_on_both_sides(node: object) -> bool:
    """Whether a relation of the tree has a symbol on both of its sides."""
    if not isinstance(node, tuple):
        return False
    sides = node[2] if node[:1] == ("rel",) else ()
    shared = any(symbols(left) & symbols(right) for left, right in pairwise(sides))
    return shared or any(map(symbols_on_both_sides, node))


@pytest.mark.slow  # 400 pairs, each read several times
@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.sampled_from(ANSWERS), st.sampled_from(ANSWERS), st.data())
def test_scrambled_answers_equal_nothing_that_differs_in_a_digit(
    a: str, b: str, chance: st.DataObject
) -> None:
    text = scrambled(a, b, chance)
    places = [at for at, character in enumerate(text) if character in "23456789"]
    if not places or _SWALLOWS.search(text):
        return
    at = chance.draw(st.sampled_from(places))
    other = text[:at] + chance.draw(st.sampled_from("23456789".replace(text[at], ""))) + text[at + 1 :]
    first, second = read(text), read(other)
    if isinstance(first, Read | Unread) and isinstance(second, Read | Unread):
        # x = 2x and x = 3x say the same, as do all equations that differ by a factor.
        by_a_factor = all(
            isinstance(each, Read) and symbols_on_both_sides(each.relation) for each in (first, second)
        )
        assert by_a_factor or not agree(first, second)
        assert agree(first, second) == agree(second, first)
    else:
        assert {type(first), type(second)} <= {Read, Unread, Pending, Refused}
