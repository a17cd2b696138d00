"""The simulator of one iteration on a cluster."""

from __future__ import annotations

from itertools import pairwise

import pytest

from data.resolve import ConfigError, resolve
from infra.plan.timeline import SCHEDULES, Load, Span, read_rates, simulate, timeline, worked_share

CONFIG = resolve("plan", "qwen3-4b")
RATES = read_rates(80)


def _end(spans: list[Span]) -> float:
    return max(span.start + span.seconds for span in spans)


def test_every_schedule_writes_and_trains_the_same_tokens() -> None:
    work = {
        schedule: sum(
            span.seconds * span.gpus for span in simulate(CONFIG, RATES, 8, schedule, Load()) if span.is_work
        )
        for schedule in SCHEDULES
    }
    assert work["authors"] == pytest.approx(work["split"])
    assert work["authors"] == pytest.approx(work["shared"])


def test_no_gpu_does_two_things_at_once() -> None:
    for schedule in SCHEDULES:
        spans = simulate(CONFIG, RATES, 8, schedule, Load())
        for gpu in range(8):
            own = sorted((s.start, s.start + s.seconds) for s in spans if s.first <= gpu < s.first + s.gpus)
            assert all(before[1] <= after[0] + 1e-6 for before, after in pairwise(own))


def test_the_authors_schedule_waits_more_than_ours() -> None:
    shares = {s: worked_share(simulate(CONFIG, RATES, 8, s, Load()), 8) for s in SCHEDULES}
    assert shares["authors"] < shares["split"] < shares["shared"] <= 1
    ends = {s: _end(simulate(CONFIG, RATES, 8, s, Load())) for s in SCHEDULES}
    assert ends["authors"] > ends["split"] > ends["shared"]


def test_one_gpu_has_nothing_to_split() -> None:
    ends = {_end(simulate(CONFIG, RATES, 1, schedule, Load())) for schedule in SCHEDULES}
    assert len(ends) == 1


def test_the_answers_to_all_candidates_take_what_the_rate_says() -> None:
    (answers,) = [
        s for s in simulate(CONFIG, RATES, 8, "split", Load()) if s.stage == "sample_answers" and s.is_work
    ]
    assert answers.seconds == pytest.approx(8000 * 10 * 1200 / (RATES.decode_tokens_per_second * 8))


def test_the_evaluation_draws_what_its_benchmarks_declare_once_the_solver_is_trained() -> None:
    *_, upload, start, drawn = simulate(CONFIG, RATES, 8, "split", Load())
    assert (upload.stage, start.stage, drawn.stage) == ("train_solver", *2 * ("sample_evaluation",))
    # 32 of each problem of AMC and of both AIMEs; one of Minerva, MATH, GSM8K and OlympiadBench.
    completions = 32 * (40 + 30 + 30) + 272 + 500 + 1319 + 675
    assert drawn.seconds == pytest.approx(completions * 1200 / (RATES.decode_tokens_per_second * 8))
    assert (start.seconds, start.is_work) == (RATES.engine_start_seconds, False)


def test_a_run_that_measures_nothing_starts_no_engine_for_it() -> None:
    config = resolve("plan", "qwen3-4b", ["evaluation.benchmarks=[]"])
    spans = simulate(CONFIG, RATES, 8, "split", Load())
    assert simulate(config, RATES, 8, "split", Load()) == spans[:-2]


def test_an_unknown_benchmark_is_one_clear_line() -> None:
    config = resolve("plan", "qwen3-4b", ["evaluation.benchmarks=[mmath]"])
    with pytest.raises(ConfigError, match=r"^evaluation\.benchmarks: .*mmath.*$"):
        simulate(config, RATES, 8, "split", Load())


def test_one_model_in_both_roles_saves_the_engine_start_between_questions_and_answers() -> None:
    one = resolve("plan", "qwen3-4b+one-policy")
    for schedule in SCHEDULES:
        two, single = (simulate(config, RATES, 8, schedule, Load()) for config in (CONFIG, one))
        assert _end(two) - _end(single) == pytest.approx(RATES.engine_start_seconds)
        kept = [span for span in two if (span.stage, span.work) != ("sample_answers", "start")]
        assert [(span.stage, span.work, span.seconds) for span in single] == [
            (span.stage, span.work, span.seconds) for span in kept
        ]


def test_the_timeline_shows_who_waits_with_a_line_for_those_that_work_alike() -> None:
    measures_nothing = resolve("plan", "qwen3-4b", ["evaluation.benchmarks=[]"])
    training, serving = timeline(simulate(measures_nothing, RATES, 8, "authors", Load()), 8)
    assert (training[:7], serving[:7]) == ("GPU 0–3", "GPU 4–7")
    assert serving.rstrip("|").endswith("   ")
    assert "S" in training
    assert "S" not in serving


def test_assumed_rates_are_those_of_the_gpu_of_the_closest_size() -> None:
    assert [read_rates(gib).memory_gib for gib in (24, 40, 60, 80, 141)] == [40, 40, 40, 80, 80]
