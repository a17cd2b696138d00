"""Every benchmark end to end on a real, tiny model: sampled, graded, in shards, resumed, in one table."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from prefect import flow

from data.config import RunConfig
from data.resolve import validate
from flows.cli import main
from flows.start import begin
from infra.artifacts.artifact import ArtifactRef, Manifest
from infra.samplers.transformers import TransformersSampler
from tasks.evaluate import evaluate
from tasks.prepare_base_model import prepare_base_model
from tasks.sample_evaluation import sample_evaluation, shards_of
from tasks.stage.graph import STAGES
from tasks.stage.task import Run
from tests.support.benchmark_rows import ROWS, write_data
from tests.support.small_run import small_overrides

OVERRIDES: dict[str, Any] = {
    **small_overrides(),
    "evaluation.benchmarks": sorted(ROWS),
    "evaluation.samples": None,
    "evaluation.max_tokens": 24,
    # To what is no sum the model gives no answer, mostly in the same words; hot, it finds others.
    "evaluation.temperature": 2.0,
    "evaluation.shard_size": 2,
}


@flow(persist_result=False)
def measure(config: RunConfig) -> ArtifactRef:
    """The base model and its evaluation."""
    run = Run(config=config, iteration=0)
    return evaluate(run, completions=sample_evaluation(run, solver=prepare_base_model(run)))


def _begin(store: Path, run: str) -> RunConfig:
    return begin(run, store=str(store), overrides=OVERRIDES)


@pytest.fixture(scope="module")
def measured(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the run 'bench' has its base model measured on all benchmarks. Read only."""
    place = tmp_path_factory.mktemp("bench")
    shutil.copytree(small_store, place / "store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RZERO_BENCHMARKS", str(write_data(place / "data")))
        measure(_begin(place / "store", "bench"))
    return place / "store"


def _manifest(store: Path, run: str) -> Manifest:
    (path,) = store.glob(f"runs/{run}/iteration=0/evaluate/*/_manifest.json")
    return Manifest.model_validate_json(path.read_bytes())


def _rows(store: Path, run: str, stage: str = "evaluate") -> pl.DataFrame:
    return pl.read_parquet(f"{store}/runs/{run}/iteration=0/{stage}/*/part-*.parquet")


class Draws:
    """Counts how often the sampler draws, and ends it where `limit` is reached."""

    def __init__(self, patch: pytest.MonkeyPatch, limit: int | None = None) -> None:
        self.count = 0
        draw = TransformersSampler.sample

        def sample(sampler: TransformersSampler, *arguments: Any) -> Any:
            if self.count == limit:
                raise RuntimeError("the machine went away")
            self.count += 1
            return draw(sampler, *arguments)

        patch.setattr(TransformersSampler, "sample", sample)


def test_every_problem_is_asked_as_its_benchmark_declares(measured: Path) -> None:
    counts = _rows(measured, "bench").group_by("benchmark", "problem_id", "mode").len()
    assert counts.height == sum(len(rows) for rows in ROWS.values())
    for benchmark, _, mode, count in counts.iter_rows():
        sampled = benchmark in ("amc23", "aime2024", "aime2025")
        assert (mode, count) == (("sampled", 32) if sampled else ("greedy", 1)), benchmark


def test_the_samples_of_a_problem_are_different_draws(measured: Path) -> None:
    sampled = _rows(measured, "bench", "sample_evaluation").filter(pl.col("mode") == "sampled")
    different = sampled.group_by("benchmark", "problem_id").agg(pl.col("completion").n_unique())
    assert different["completion"].min() > 1
    assert different["completion"].median() > 8


def test_figures_are_the_means_of_the_table(measured: Path) -> None:
    figures, rows = _manifest(measured, "bench").figures, _rows(measured, "bench")
    scores = {s["benchmark"]: s for s in figures["scores"] if s["headline"]}
    assert set(scores) == {*ROWS, "math_average", "overall_average"}
    means = dict(rows.group_by("benchmark").agg(pl.col("correct").mean()).iter_rows())
    for name, mean in means.items():
        assert scores[name]["value"] == pytest.approx(mean, abs=1e-6)
        assert scores[name]["low"] <= scores[name]["value"] <= scores[name]["high"]
    assert scores["math_average"]["benchmarks"] == 7
    assert scores["overall_average"]["benchmarks"] == 10


def test_an_interrupted_evaluation_goes_on_at_the_shard_and_ends_the_same(
    measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    shutil.copytree(measured, store, ignore=shutil.ignore_patterns("bench", "prefect-results"))
    config = _begin_without_data(store)
    with monkeypatch.context() as patch:
        Draws(patch, limit=4)
        with pytest.raises(RuntimeError, match="the machine went away"):
            measure(config)
    finished = {path: path.read_bytes() for path in store.glob("runs/again/**/parts/*.json")}
    assert len(finished) == 4
    with monkeypatch.context() as patch:
        again = Draws(patch)
        measure(config)
    assert again.count == len(shards_of(Run(config=config, iteration=0).store, config)) - 4
    assert {path: path.read_bytes() for path in finished} == finished
    # The same seed gives the same table.
    assert _manifest(store, "again").digest == _manifest(measured, "bench").digest
    assert _manifest(store, "again").figures == _manifest(measured, "bench").figures


@pytest.mark.parametrize("what", ["another judge", "a mended grader"])
def test_another_judge_or_a_mended_grader_draws_nothing_again(
    measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    store = tmp_path / "store"
    shutil.copytree(measured, store, ignore=shutil.ignore_patterns("prefect-results"))
    config = _begin(store, "bench")
    draws = Draws(monkeypatch)
    if what == "another judge":
        judge = {"url": "http://localhost:9/v1", "model": "none", "labels": 0}
        config = validate(config.model_dump(mode="json") | {"evaluation": _with_judge(config, judge)})
        with pytest.raises(OSError, match="9"):
            measure(config)
    else:
        stage = STAGES["evaluate"]
        monkeypatch.setitem(STAGES, "evaluate", replace(stage, version=stage.version + 1))
        measure(config)
        assert len(list(store.glob("runs/bench/iteration=0/evaluate/*/_manifest.json"))) == 2
    assert draws.count == 0
    assert len(list(store.glob("runs/bench/iteration=0/sample_evaluation/*/_manifest.json"))) == 1


def _with_judge(config: RunConfig, judge: dict[str, Any]) -> dict[str, Any]:
    return {**config.evaluation.model_dump(mode="json"), "judge": judge}


def _begin_without_data(store: Path) -> RunConfig:
    """A run of the same problems: they are in the store, so that no source is needed."""
    frozen = {path.parent.name: path.stem for path in store.glob("benchmarks/*/*.parquet")}
    assert set(frozen) == set(ROWS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RZERO_BENCHMARKS", str(write_data(store.parent / "data")))
        config = _begin(store, "again")
    assert config.evaluation.data == frozen
    return config


def test_the_table_of_results_has_a_line_a_benchmark(measured: Path) -> None:
    arguments = ["results", "bench", "--store", str(measured)]
    rows = json.loads(CliRunner().invoke(main, [*arguments, "--json"], catch_exceptions=False).stdout)
    assert {row["benchmark"] for row in rows if row["headline"]} == {*ROWS, "math_average", "overall_average"}
    shown = CliRunner().invoke(main, arguments, catch_exceptions=False).stdout
    assert "math average" in shown
    assert "mean@32" in shown
    assert "math500: 3 problems, the whole set has 500" in shown
