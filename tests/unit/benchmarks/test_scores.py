"""Figures of an evaluation: what they are the mean of, and intervals that cover."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.grading.scores import bootstrap, evaluation_figures, interval, pass_at_k, problem_values


def rows(benchmark: str, grades: Sequence[Sequence[bool]], mode: str = "sampled") -> pl.DataFrame:
    """Rows of problems with their samples' grades; the majority is right where more than half are."""
    return pl.DataFrame(
        [
            {
                "benchmark": benchmark,
                "problem_id": problem,
                "mode": mode,
                "sample": sample,
                "correct": right,
                "majority_correct": sum(samples) * 2 > len(samples),
            }
            for problem, samples in enumerate(grades)
            for sample, right in enumerate(samples)
        ]
    )


@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_all_choices_of_k_that_hold_a_right_one(
    samples: int, data: st.DataObject
) -> None:
    correct = data.draw(st.integers(0, samples))
    k = data.draw(st.integers(1, samples))
    grades = [True] * correct + [False] * (samples - correct)
    choices = [any(choice) for choice in itertools.combinations(grades, k)]
    assert pass_at_k(samples, correct, k) == pytest.approx(sum(choices) / len(choices))


def test_more_than_all_samples_cannot_be_chosen() -> None:
    with pytest.raises(ValueError, match="k must be 1 to 4"):
        pass_at_k(4, 2, 5)


def test_each_measure_has_a_value_a_problem() -> None:
    grades = [[True, True, True, False], [False, False, False, True], [False] * 4]
    table = pl.concat([rows("b", grades), rows("b", [[True], [False], [True]], "greedy")])
    found = problem_values(table)
    assert found["mean@4"].tolist() == [0.75, 0.25, 0]
    assert found["pass@2"].tolist() == pytest.approx([1, 0.5, 0])
    assert found["pass@4"].tolist() == [1, 1, 0]
    assert found["maj@4"].tolist() == [1, 0, 0]
    assert found["greedy"].tolist() == [1, 0, 1]


def test_the_averages_are_the_papers() -> None:
    table = pl.concat(
        [
            rows("m1", [[True, True], [True, False]]),
            rows("m2", [[True], [False], [False], [False]], "greedy"),
            rows("g1", [[True], [True]], "greedy"),
            rows("g2", [[False], [False]], "greedy"),
        ]
    )
    areas = {"m1": "math", "m2": "math", "g1": "general", "g2": "general"}
    headlines = {"m1": "sampled", "m2": "greedy", "g1": "greedy", "g2": "greedy"}
    figures = evaluation_figures(table, areas, headlines)
    assert figures["math_average"] == pytest.approx((0.75 + 0.25) / 2)
    assert figures["overall_average"] == pytest.approx((0.5 + 1 + 0) / 3, abs=1e-6)
    assert figures["pass@1"] == 0.75
    assert figures["greedy"] == pytest.approx((0.25 + 1 + 0) / 3, abs=1e-6)
    heads = [(s["benchmark"], s["measure"]) for s in figures["scores"] if s["headline"]]
    assert heads == [
        ("g1", "greedy"), ("g2", "greedy"), ("m1", "mean@2"), ("m2", "greedy"),
        ("math_average", "average"), ("overall_average", "average"),
    ]  # fmt: skip


def test_without_benchmarks_of_both_kinds_there_is_no_overall_average() -> None:
    figures = evaluation_figures(rows("m", [[True], [False]], "greedy"), {"m": "math"}, {"m": "greedy"})
    assert figures["math_average"] == 0.5
    assert "overall_average" not in figures


def test_the_published_overall_average_follows_from_its_parts() -> None:
    # Qwen3-4B-Base as published: math average 42.58, SuperGPQA 20.88, MMLU-Pro 37.38, BBEH 7.57 give 27.10.
    parts = [np.array([value]) for value in (42.58, 20.88, 37.38, 7.57)]
    found = bootstrap(parts)
    assert found is not None
    assert round(found.value, 2) == 27.10


def test_samples_of_unequal_number_are_refused() -> None:
    with pytest.raises(ValueError, match="different numbers of samples"):
        problem_values(rows("b", [[True, False], [True]]))


def test_all_wrong_and_all_right_still_leave_room() -> None:
    assert interval(np.zeros(30)).high == pytest.approx(1 - 0.025 ** (1 / 30))
    assert interval(np.ones(30)).low == pytest.approx(0.025 ** (1 / 30))
    assert interval(np.zeros(30)).value == interval(np.zeros(30)).low == 0


def test_the_same_rows_give_the_same_interval() -> None:
    values = np.random.default_rng(3).random(50)
    assert interval(values) == interval(values)


@pytest.mark.parametrize(("problems", "samples"), [(30, 32), (100, 1), (400, 1)])
def test_intervals_cover_the_truth_nineteen_times_in_twenty(problems: int, samples: int) -> None:
    generator = np.random.default_rng(11)
    truth, trials, covered = 0.4, 300, 0
    for _ in range(trials):
        # Problems differ in difficulty: a Beta with mean `truth`.
        chances = generator.beta(0.8, 1.2, size=problems)
        found = interval(generator.binomial(samples, chances) / samples)
        covered += found.low <= truth <= found.high
    assert 0.90 <= covered / trials <= 0.99


def test_the_interval_of_an_average_covers_too() -> None:
    generator = np.random.default_rng(12)
    trials, covered, truth = 200, 0, (0.3 + 0.6) / 2
    for _ in range(trials):
        parts = [generator.binomial(1, 0.3, 60).astype(float), generator.binomial(1, 0.6, 200).astype(float)]
        found = bootstrap(parts)
        assert found is not None
        covered += found.low <= truth <= found.high
    assert 0.90 <= covered / trials <= 0.99
