"""The figures of the report, worked out by hand on small tables."""

from __future__ import annotations

import random
from typing import Any

import polars as pl
import pytest

from flows.report import accuracy as acc
from flows.report import questions as q
from flows.report.story import choose, spaced
from tests.support.schemas import RUN_SCHEMAS

KEYS = {"line": "a", "run": "a", "iteration": 1}


def evaluation(grades: dict[int, list[bool]], benchmark: str = "b") -> pl.DataFrame:
    rows = [
        KEYS
        | {"benchmark": benchmark, "problem_id": problem, "group": "02", "mode": "sampled", "sample": sample}
        | {"correct": correct, "majority_correct": sum(given) * 2 > len(given)}
        for problem, given in grades.items()
        for sample, correct in enumerate(given)
    ]
    return pl.DataFrame(rows)


def asked(**columns: list[Any]) -> pl.DataFrame:
    """Rows of `scored` in which what is not named is plain."""
    count = len(next(iter(columns.values())))
    plain: dict[str, list[Any]] = {
        "question_id": list(range(count)),
        "question": [f"{index}+1" for index in range(count)],
        "majority_answer": ["1"] * count,
        "p_hat": [0.5] * count,
        "answered_share": [1.0] * count,
        "uncertainty": [1.0] * count,
        "cluster_share": [1 / count] * count,
        "cluster_size": [1] * count,
        "reward": [1.0] * count,
        "kept": [True] * count,
        "drop_reason": [None] * count,
        "label_is_right": [True] * count,
        "in_range": [True] * count,
        "terms": [2] * count,
    }
    unknown = {
        "drop_reason": pl.String,
        "question": pl.String,
        "label_is_right": pl.Boolean,
        "in_range": pl.Boolean,
    }
    frame = pl.DataFrame(plain | columns, schema_overrides=unknown)
    return frame.select(
        *(
            pl.lit(value, dtype=pl.Int64 if key == "iteration" else None).alias(key)
            for key, value in KEYS.items()
        ),
        pl.all(),
    )


def test_accuracy_is_the_mean_over_benchmarks_of_the_mean_over_problems() -> None:
    both = pl.concat(
        [evaluation({0: [True, False], 1: [True, True]}, "b"), evaluation({0: [False, False]}, "c")]
    )
    scores = acc.problem_scores(both)
    found = acc.mean_accuracy(scores.filter(pl.col("measure") == "pass@1"))
    assert found is not None
    assert found.value == pytest.approx((0.75 + 0.0) / 2)
    assert found.low <= found.value <= found.high


def test_the_bootstrap_gives_the_same_interval_each_time_and_near_the_binomial_one() -> None:
    rng = random.Random(1)
    table = evaluation({problem: [rng.random() < 0.7] for problem in range(400)})
    scores = acc.problem_scores(table).filter(pl.col("measure") == "pass@1")
    first, second = (
        acc.mean_accuracy(scores),
        acc.mean_accuracy(scores.sample(fraction=1, shuffle=True, seed=3)),
    )
    assert first is not None
    assert first == second
    half = 1.96 * (first.value * (1 - first.value) / 400) ** 0.5
    assert first.high - first.low == pytest.approx(2 * half, rel=0.1)


def test_a_gain_is_paired_by_problem_so_that_equal_shifts_have_no_spread() -> None:
    before = acc.problem_scores(evaluation({i: [True, False, False, i % 2 == 0] for i in range(10)}))
    after = before.with_columns(pl.col("score") + 0.25)
    found = acc.gain(*(frame.filter(pl.col("measure") == "pass@1") for frame in (before, after)))
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))


def test_accuracy_by_sample_takes_one_sample_of_every_problem() -> None:
    table = acc.accuracy_by_sample(evaluation({0: [True, False], 1: [True, True], 2: [False, False]}))
    assert table["value"].to_list() == pytest.approx([2 / 3, 1 / 3])


def test_p_hat_shares_leave_out_questions_without_an_answer_and_sum_to_one() -> None:
    frame = asked(p_hat=[0.1, 0.5, 0.5, 3 / 7, 0.0], majority_answer=["1", "1", "1", "1", None])
    table = q.p_hat_shares(frame, 10)
    found = dict(zip(table["p_hat"], table["share"], strict=True))
    assert len(found) == 10
    assert (found[0.1], found[0.4], found[0.5]) == (0.25, 0.25, 0.5)
    assert sum(found.values()) == pytest.approx(1)


def test_label_accuracy_counts_only_what_can_be_judged() -> None:
    frame = asked(label_is_right=[True, False, None, True], p_hat=[0.5, 0.5, 0.5, 0.9])
    table = q.label_accuracy_by_p_hat(frame, 10)
    assert table.select("p_hat", "value", "n").rows() == [(0.5, 0.5, 2), (0.9, 1.0, 1)]


def test_a_question_that_cannot_be_read_counts_as_outside_the_domain() -> None:
    table = q.in_domain_share(asked(in_range=[True, True, None, False]))
    assert table["value"].to_list() == [0.5]
    assert q.in_domain_share(asked(in_range=[None, None])).is_empty()


def test_diversity_is_measured_on_equally_many_questions_everywhere() -> None:
    many = asked(question=["1+2", "1+2", "3+4", "5+6"], cluster_share=[0.5, 0.5, 0.25, 0.25])
    few = asked(question=["1+2", "7-8"]).with_columns(iteration=2)
    table = q.diversity(pl.concat([many, few], how="vertical_relaxed"))
    assert table["questions"].to_list() == [2, 2]
    assert table["unique_share"].to_list() == [0.5, 1.0]
    # "1+2" twice: 1+ and +2 twice; "1+2" and "7-8": four different pairs.
    assert table["distinct_2"].to_list() == [0.5, 1.0]
    assert table["largest_share"].to_list() == [0.5, 0.5]
    assert table["alone_share"].to_list() == [0.5, 1.0]


def test_the_largest_clusters_come_with_their_size_and_how_often_it_occurs() -> None:
    frame = asked(question=["a", "b", "c", "d", "e"], cluster_size=[2, 2, 2, 2, 1])
    assert q.largest_clusters(frame) == [("a", 1, 2, 2, "a")]


def test_the_untrained_challenger_is_iteration_0_of_what_was_written() -> None:
    scored = asked(terms=[4, 4])
    probes = [asked(terms=[2, 3]), asked(terms=[9]).with_columns(iteration=pl.lit(2, dtype=pl.Int64))]
    probe = pl.concat(probes, how="vertical_relaxed")
    table = q.quantiles_by_iteration(q.written(probe, scored), pl.col("terms"))
    assert table.select("iteration", "mean").rows() == [(0, 2.5), (1, 4.0)]


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (5, 10), (10, 10), (900, 1000)])
def test_wilson_intervals_hold_the_share_and_stay_within_0_and_1(hits: int, n: int) -> None:
    ((low, high),) = pl.select(*q.wilson(pl.lit(hits), pl.lit(n))).rows()
    assert 0.0 <= low <= hits / n <= high <= 1.0


def test_samples_are_spread_evenly_over_the_candidates() -> None:
    assert spaced(3, 10) == [0, 1, 2]
    assert spaced(100, 4) == [0, 25, 50, 75]


def test_the_sample_holds_kept_dropped_and_badly_formed_candidates(fabricated_scored: pl.DataFrame) -> None:
    chosen = choose(fabricated_scored)
    assert chosen.filter("kept").height == 10
    assert chosen.filter(~pl.col("kept") & pl.col("question").is_not_null()).height == 8
    assert chosen.filter(pl.col("question").is_null()).height == 2
    assert choose(fabricated_scored.sample(fraction=1, shuffle=True, seed=1)).equals(chosen)


@pytest.fixture
def fabricated_scored(scored_table: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(scored_table, infer_schema_length=None).select(RUN_SCHEMAS["scored"].names)


def test_where_the_truth_is_not_known_the_judge_s_verdict_on_a_label_counts() -> None:
    verdicts = {"label_is_right": [None, True, None], "label_is_right_by_judge": [True, False, None]}
    frame = pl.DataFrame(verdicts, schema=dict.fromkeys(verdicts, pl.Boolean))
    assert q.with_known_labels(frame)["label_is_right"].to_list() == [True, True, None]
    assert q.with_known_labels(frame.drop("label_is_right_by_judge")).width == 1
