"""What each variant of an experiment gains over the first, seed by seed, and whether that is significant."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from data.config import RunConfig
from data.experiments import experiment_of, load_variants
from data.resolve import resolve
from flows.experiment_table import COMPARED, experiment_rows, gain_rows, interval, shown_gains
from flows.report.read import read_runs
from infra.store.store import Store
from tasks.rewards.challenger import settled


def test_the_interval_is_students_over_the_pairs() -> None:
    found = interval([0.1, 0.2, 0.3])
    # The deviation is .1, and t of two degrees of freedom 4.302653: 4.302653 * .1 / sqrt(3) = .248414.
    assert found == pytest.approx({"mean": 0.2, "low": -0.048414, "high": 0.448414}, abs=1e-6)
    assert interval([0.5]) == {"mean": 0.5, "low": None, "high": None}
    assert interval([]) is None


def test_what_is_not_significant_says_so() -> None:
    rows = [
        {
            "variant": "other",
            "greedy": {"mean": 0.2, "low": -0.05, "high": 0.45},
            "pass@1": {"mean": -0.2, "low": -0.25, "high": -0.15},
            "maj@k": {"mean": 0.0, "low": 0.0, "high": 0.0},
            "tokens": {"mean": 1234.5, "low": None, "high": None},
            "seconds": None,
        }
    ]
    assert shown_gains(rows)[0] == {
        "variant": "other",
        "greedy": "+.200 (-.050 to +.450) n.s.",
        "pass@1": "-.200 (-.250 to -.150)",
        "maj@k": "+.000 (+.000 to +.000) n.s.",
        "tokens": "+1234",
        "seconds": None,
    }


def test_gains_pair_the_seeds_that_both_have_in_the_last_iteration_that_both_have(
    store: Store, fabricate: Callable[..., RunConfig]
) -> None:
    for seed, iterations in ((0, 2), (1, 2), (2, 2)):
        fabricate(store, f"x-paper-seed{seed}", iterations=iterations, seed=seed)
    for seed in (2, 1):
        fabricate(
            store, f"x-other-seed{seed}", seed=seed, overrides=["solver.learning_rate=1e-3"], iterations=1
        )
    papers = read_runs(store, [f"x-paper-seed{seed}" for seed in (0, 1, 2)])
    others = read_runs(store, ["x-other-seed2", "x-other-seed1"])
    (row,) = gain_rows({"paper": papers, "other": others})
    assert (row["variant"], row["iteration"], row["seeds"]) == ("other", 1, 2)
    for figure in COMPARED:
        before, after = (
            [experiment_rows({"one": [run]}, ())[1][figure] for run in runs]
            for runs in ((papers[2], papers[1]), others)
        )
        pairs = [(b["mean"], a["mean"]) for b, a in zip(before, after, strict=True) if a and b]
        assert row[figure] == interval([a - b for b, a in pairs])
    assert row["pass@1"]["low"] is not None


def test_a_variant_that_shares_no_seed_or_has_finished_nothing_has_no_gain(
    store: Store, fabricate: Callable[..., RunConfig]
) -> None:
    fabricate(store, "x-paper-seed0")
    fabricate(store, "x-other-seed1", seed=1)
    fabricate(store, "x-late-seed0", overrides=["solver.learning_rate=1e-3"], stop_before=(1, "train_solver"))
    names = ("paper-seed0", "other-seed1", "late-seed0")
    assert gain_rows({name: read_runs(store, [f"x-{name}"]) for name in names}) == []
    assert gain_rows({}) == []


def test_the_methods_are_overlays_over_the_papers_run_and_each_resolves() -> None:
    first, *others = load_variants("methods")
    assert (first.overlay, first.overrides) == (None, {"iterations": 5})
    for variant in (first, *others):
        assert settled(resolve("a", variant.preset(None), variant.overrides)).iterations == 5
        assert resolve("a", variant.preset("tiny"), variant.overrides, iterations=2).iterations == 2
    assert {variant.overlay for variant in others} == {
        *(
            "r-diverse",
            "spice-reward",
            "agent0-solver",
            "surest-labels",
            "vocabulary-dropout",
            "one-policy",
            None,
        )
    }


def test_the_name_of_runs_says_which_experiment_they_are_of_where_there_is_one() -> None:
    assert [experiment_of(name) for name in ("methods", "memory", "trial")] == [
        "methods",
        "memory",
        "ablations",
    ]
