"""Which answers are equal."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.voting.equivalence import Grader
from tasks.voting.pool.workers import WorkerPool
from tasks.voting.reading.cursor import packed
from tasks.voting.reading.forms import Pending, Read, Refused, Unread, agree, read

starts_processes = pytest.mark.slow
"""Each of their graders starts processes of its own, which load an algebra system for seconds."""

CORPUS = Path(__file__).parents[2] / "corpus"


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CORPUS / name).read_text(encoding="utf-8").splitlines()]


def hostile(ends: str) -> list[str]:
    return [
        line["answer"] if "answer" in line else "".join(piece * times for piece, times in line["repeat"])
        for line in lines("hostile.jsonl")
        if line["ends"] == ends
    ]


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    # Long enough for a busy machine: what must time out does so with a limit of its own.
    with Grader(timeout_seconds=60.0, workers=1) as shared:
        yield shared


def test_the_corpus_of_judged_pairs_is_graded_as_judged(grader: Grader) -> None:
    pairs = lines("equal_or_not.jsonl")
    verdicts = grader.equivalent([(pair["a"], pair["b"]) for pair in pairs])
    wrong = [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict is not pair["equal"]]
    assert len(pairs) >= 700
    assert wrong == []


def test_pairs_it_was_not_tuned_on_are_graded_well_and_none_is_wrongly_equal(grader: Grader) -> None:
    pairs = lines("second_bag.jsonl")
    verdicts = grader.equivalent([(pair["a"], pair["b"]) for pair in pairs])
    judged = list(zip(pairs, verdicts, strict=True))
    assert [pair for pair, verdict in judged if verdict and not pair["equal"]] == []
    assert sum(verdict is pair["equal"] for pair, verdict in judged) >= 0.95 * len(pairs)


def test_a_derivative_is_no_quotient(grader: Grader) -> None:
    assert grader.equivalent([(r"\frac{d}{dx} x^2", "x")]) == [False]


def test_equality_does_not_depend_on_the_order_of_a_pair(grader: Grader) -> None:
    pairs = [(pair["a"], pair["b"]) for pair in lines("equal_or_not.jsonl")]
    assert grader.equivalent(pairs) == grader.equivalent([(b, a) for a, b in pairs])


def test_what_needs_no_algebra_system_starts_no_process() -> None:
    answers = ["34", "-7", "1/2", r"\frac{3}{4}", "0.25", "x=5", "42-", "3+4=7-", "cat", "(1,2)", r"\sqrt{2}"]
    with Grader() as grader:
        grader.equivalent([(a, b) for a in answers for b in answers])
        assert not grader._pool.started


def test_sums_and_integrals_are_valued_in_a_worker(grader: Grader) -> None:
    pairs = [(r"\sum_{k=1}^{10} k", "55"), (r"\int_0^1 x^2\,dx", r"\frac13"), (r"\int_0^1 x\,dx", "1")]
    assert grader.equivalent(pairs) == [True, True, False]


def test_one_answer_agrees_with_itself_however_hostile() -> None:
    answers = [*hostile("timeout")[:1], *hostile("refused"), *hostile("unequal")]
    with Grader(timeout_seconds=0.2) as grader:
        assert grader.equivalent([(a, f" {a} ") for a in answers]) == [True] * len(answers)


@starts_processes
def test_a_hang_ends_as_none_is_counted_and_the_others_are_graded() -> None:
    hanging = hostile("timeout")
    with Grader(timeout_seconds=0.7, workers=2) as grader:
        pairs = [pair for answer in hanging for pair in ((answer, "5"), ("1/2", "0.5"), ("2", "3"))]
        verdicts = grader.equivalent(pairs)
        assert verdicts == [None, True, False] * len(hanging)
        assert grader.timeouts + grader.failures == len(hanging)
        # A time-out is remembered: the same answer does not cost its time again, but is counted again.
        counted = grader.timeouts
        assert grader.equivalent([(hanging[0], "7")]) == [None]
        assert grader.timeouts == counted + 1


def test_answers_too_long_or_too_deep_are_refused_and_counted() -> None:
    refused = hostile("refused")
    with Grader() as grader:
        assert grader.equivalent([(answer, "5") for answer in refused]) == [None] * len(refused)
        assert grader.refusals == len(refused)
        assert not grader._pool.started


def test_text_that_is_no_mathematics_is_unequal_at_once(grader: Grader) -> None:
    answers = hostile("unequal")
    assert len(answers) >= 10
    assert grader.equivalent([(answer, "5") for answer in answers]) == [False] * len(answers)
    assert grader.equivalent([(" " * 50_000 + "5", "5")]) == [True]


@starts_processes
def test_a_killed_process_is_replaced_and_none_outlives_the_grader() -> None:
    with Grader(timeout_seconds=60.0, workers=1) as grader:
        assert grader.equivalent([(r"\sum_{k=1}^{3} k", "6")]) == [True]
        server = grader._pool._server
        assert server is not None
        server.kill()
        server.wait()
        assert grader.equivalent([(r"\sum_{k=1}^{5} k", "15"), (r"\sum_{k=1}^{6} k", "20")]) == [True, False]
        assert grader.failures == 0
        server = grader._pool._server
    assert server is not None
    assert server.returncode is not None


def test_a_child_that_dies_costs_only_the_request_it_was_at() -> None:
    pool = WorkerPool(timeout_seconds=0.5, memory_bytes=1 << 30, workers=1)
    hanging, easy = (packed(("sum", "k", _number(1), _number(last), ("sym", "k"))) for last in (10**400, 4))
    hanging[4] = packed(("div", _number(1), ("call", "factorial", ("sym", "k"))))
    hanging[3] = packed(_number(10**7))
    try:
        kinds = [(o.kind, o.value) for o in pool.run([easy, hanging, easy, easy])]
    finally:
        pool.close()
    assert kinds[0] == kinds[2] == kinds[3] == ("done", packed(_number(10)))
    assert kinds[1][0] == "timeout"


def _number(value: int) -> tuple[str, Fraction]:
    return ("num", Fraction(value))


@starts_processes
def test_a_time_out_counts_processor_time_and_not_the_load_of_the_machine() -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        with Grader(timeout_seconds=2.0, workers=2) as grader:
            pairs = [
                (rf"\sum_{{k=1}}^{{n}} k^{power}", rf"\sum_{{j=1}}^{{n}} j^{power}") for power in range(1, 9)
            ]
            assert grader.equivalent(pairs) == [True] * len(pairs)
    finally:
        for process in busy:
            process.kill()
            process.wait()


@starts_processes
def test_a_worker_cannot_take_more_memory_than_its_limit() -> None:
    with Grader(timeout_seconds=60.0, memory_bytes=256 << 20, workers=1) as grader:
        assert grader.equivalent(
            [(r"\sum_{k=1}^{2} 2^{k \cdot 10^{10}}", "5"), (r"\sum_{k=1}^{3} k", "6")]
        ) == [None, True]
        assert grader.failures == 1


def test_several_threads_share_one_grader(grader: Grader) -> None:
    def grade(k: int) -> list[bool | None]:
        return grader.equivalent([(rf"\sum_{{j=1}}^{{{k}}} j", str(k * (k + 1) // 2)), ("x=1", "y=1")])

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(grade, range(2, 14))) == [[True, False]] * 12


@starts_processes
def test_a_grader_works_outside_the_main_thread_and_after_it_was_closed() -> None:
    found: list[bool | None] = []

    def work() -> None:
        for _ in range(2):
            with grader:
                found.extend(grader.equivalent([(rf"\int_0^{{{len(found) + 2}}} x\,dx", "2")]))

    grader = Grader(timeout_seconds=60.0, workers=1)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [True, False]


def _grade_in_child(results: Any) -> None:
    with Grader(timeout_seconds=60.0, workers=1) as grader:
        results.put(grader.equivalent([(r"\sum_{k=1}^{3} k", "6")]))


@starts_processes
def test_a_grader_works_in_a_daemonic_process() -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=_grade_in_child, args=(results,), daemon=True)
    process.start()
    assert results.get(timeout=120) == [True]
    process.join()


@pytest.mark.parametrize(
    "arguments",
    [{"timeout_seconds": 0.0}, {"memory_bytes": 1000}, {"workers": 0}],
    ids=lambda a: next(iter(a)),
)
def test_limits_that_make_no_sense_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Grader(**arguments)


def known(answer: str) -> Read | Unread:
    """The reading of an answer that needs no worker."""
    reading = read(answer)
    assert isinstance(reading, Read | Unread)
    return reading


_SPELLINGS = (
    r"1 2 10 0 x y a pi \pi \frac { } ( ) [ ] + - * / ^ _ ! | \sqrt \sin sin \log \text{ cm and or , ; : = < "
    r"\le \pm \infty e i % \% ^\circ \{ \} \cup \in 0.5 1/2 \binom \begin{pmatrix} \end{pmatrix} & \\ ' $ "
    "\\$ . ... \\overline 1e5 é ∞ ½ ² \x01 \x02 \x03 \\int ^{-1} cat \\mathbb{R} \\lfloor C U"
)
_PIECES = st.sampled_from([*_SPELLINGS.split(" "), " "])


@pytest.mark.parametrize("answer", ["-1", "+1", "-0", "0", "-007", "12"])
def test_a_whole_number_has_one_reading_whatever_stands_around_it(answer: str) -> None:
    assert read(answer) == read(f" {answer} ") == read(f"${answer}$")


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.lists(_PIECES, max_size=30).map("".join), st.text(max_size=40)))
def test_any_text_is_read_without_an_error_and_equals_itself(answer: str) -> None:
    reading = read(answer)
    assert hash(reading) == hash(read(f" {answer} "))
    assert isinstance(reading, Pending | Refused) or agree(reading, reading)


@settings(max_examples=200, deadline=None)
@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_a_fraction_equals_all_its_spellings_and_not_its_neighbour(top: int, bottom: int) -> None:
    forms = [
        known(text)
        for text in (
            f"{top}/{bottom}",
            rf"\frac{{{top}}}{{{bottom}}}",
            rf"\dfrac{{{3 * top}}}{{{3 * bottom}}}",
        )
    ]
    assert all(agree(forms[0], other) for other in forms)
    assert not agree(forms[0], known(f"{top + 1}/{bottom}"))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(["5", "5.0", "x=5", "y=5", "5 cm", "5 m", "50 mm", "2x=10", "5%", "0.05"]),
        min_size=3,
        max_size=3,
    )
)
def test_equal_in_every_part_is_an_equivalence_relation(answers: list[str]) -> None:
    a, b, c = (known(answer) for answer in answers)
    assert agree(a, b) == agree(b, a)
    if a.bucket == b.bucket == c.bucket:
        assert agree(a, c)
