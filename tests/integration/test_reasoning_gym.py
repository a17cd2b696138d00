"""The tiny model is measured on tasks of reasoning-gym: problems, grades and figures of a real run."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from prefect import flow

from data import benchmarks
from data.config import RunConfig
from flows.cli import main
from flows.start import begin
from tasks.evaluate import evaluate
from tasks.prepare_base_model import prepare_base_model
from tasks.sample_evaluation import sample_evaluation
from tasks.stage.task import Run
from tests.support.small_run import small_overrides

pytestmark = pytest.mark.skipif(
    find_spec("reasoning_gym") is None, reason="pip install 'rzero[reasoning-gym]'"
)

SUMS = "reasoning_gym:chain_sum?size=12&seed=0&max_terms=2&max_digits=1"
WORDS = "reasoning_gym:syllogism?size=6"


@flow(persist_result=False)
def measure(config: RunConfig) -> None:
    """The base model and its evaluation."""
    run = Run(config=config, iteration=0)
    evaluate(run, completions=sample_evaluation(run, solver=prepare_base_model(run)))


def test_a_run_is_measured_on_its_tasks_and_needs_the_package_only_to_begin(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    shutil.copytree(small_store, store)
    overrides = {
        **small_overrides(),
        "evaluation.benchmarks": [SUMS, WORDS],
        "evaluation.samples": 2,
        "evaluation.greedy": True,
        "evaluation.max_tokens": 24,
    }
    config = begin("gym", store=str(store), overrides=overrides)
    made = {name: benchmarks.load(name, config.base_model) for name in (SUMS, WORDS)}
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    measure(config)

    rows = pl.read_parquet(f"{store}/runs/gym/iteration=0/evaluate/*/part-*.parquet")
    asked = rows.select("benchmark", "problem_id", "problem", "gold").unique()
    assert set(asked.iter_rows()) == {
        (name, each.problem_id, each.problem, each.gold) for name, found in made.items() for each in found
    }
    assert rows.height == (12 + 6) * (2 + 1)
    assert rows["answer"].drop_nulls().len() > 0
    for row in rows.iter_rows(named=True):
        given = str(row["answer"]).lower()
        assert row["correct"] == (given == row["gold"].lower()), row

    result = CliRunner().invoke(main, ["results", "gym", "--store", str(store), "--json"])
    scores = {
        (score["benchmark"], score["measure"]): (score["value"], score["problems"])
        for score in json.loads(result.stdout)
        if "problems" in score
    }
    greedy = rows.filter(pl.col("mode") == "greedy").group_by("benchmark").agg(pl.col("correct").mean())
    for name, share in greedy.iter_rows():
        value, problems = scores[name, "greedy"]
        assert (value, problems) == (pytest.approx(share, abs=1e-6), len(made[name]))
