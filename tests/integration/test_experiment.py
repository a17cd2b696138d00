"""An experiment with real parts: two variants share what they have in common, and stand in one table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from flows.cli import main
from infra.artifacts.artifact import Manifest
from tests.support.small_run import SMALL_RUN

COMMAND = ["experiment", "trial", "--variant", "main", "--variant", "random-labels", "--seed", "4"]


def _manifest(store: Path, run: str, iteration: int, stage: str) -> Manifest:
    (path,) = store.glob(f"runs/{run}/iteration={iteration}/{stage}/*/_manifest.json")
    return Manifest.model_validate_json(path.read_bytes())


def test_variants_share_their_stages_until_they_part(prefect_server: None, tmp_path: Path) -> None:
    store = tmp_path / "store"
    settings = [item for override in SMALL_RUN for item in ("--set", override)]
    command = [*COMMAND, "--iterations", "1", "--store", str(store), "--json"]
    result = CliRunner().invoke(main, [*command, *settings], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    table = json.loads(result.stdout)
    assert [(row["variant"], row["iteration"], row["seeds"]) for row in table["rows"]] == [
        ("main", 0, 1),
        ("main", 1, 1),
        ("random-labels", 0, 1),
        ("random-labels", 1, 1),
    ]
    first, second = "trial-main-seed4", "trial-random-labels-seed4"
    for stage, iteration in [("prepare_base_model", 0), ("train_challenger", 1), ("sample_answers", 1)]:
        made, copied = (_manifest(store, run, iteration, stage) for run in (first, second))
        assert (made.adopted_from, copied.adopted_from) == (None, first)
        assert made.digest == copied.digest
        assert copied.config["run"] == second
    for stage in ("score_and_filter", "train_solver"):
        assert _manifest(store, second, 1, stage).adopted_from is None
    labels = [
        pl.read_parquet(f"{store}/runs/{run}/iteration=1/score_and_filter/*/curriculum/*.parquet")[
            "pseudo_label"
        ]
        for run in (first, second)
    ]
    assert sorted(labels[0]) == sorted(labels[1])
    assert labels[0].to_list() != labels[1].to_list()

    again = CliRunner().invoke(main, [*command, *settings, "--table-only"], catch_exceptions=False)
    assert json.loads(again.stdout) == table


def test_a_run_that_a_gate_stops_does_not_keep_the_next_from_running_and_is_named(
    small_store: Path, tmp_path: Path
) -> None:
    # What has the same key in the small run need not be made again.
    store = Path(shutil.copytree(small_store, tmp_path / "store"))
    settings = [*SMALL_RUN, "gates.kept_share.action=stop", "gates.kept_share.threshold=0.9"]
    chosen = ["--variant", "main", "--variant", "no-filter", "--seed", "0"]
    command = ["experiment", "trial", *chosen, "--iterations", "1", "--store", str(store)]
    command += [item for override in settings for item in ("--set", override)]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "Stopped by a gate: trial-main-seed0. Why" in " ".join(result.stdout.split())
    assert not list(store.glob("runs/trial-main-seed0/iteration=1/train_solver/*/_manifest.json"))
    assert _manifest(store, "trial-no-filter-seed0", 1, "evaluate")
    table = CliRunner().invoke(main, [*command, "--table-only", "--json"], catch_exceptions=False)
    assert json.loads(table.stdout)["stopped_by_gates"] == ["trial-main-seed0"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--variant", "mian"], "experiment 'ablations' has no variant 'mian'; it has: main, untrained"),
        (["--experiment", "no"], "there is no experiment 'no'; there are: ablations, memory, methods"),
        (["--set", "solver.sepst=1"], "solver.sepst: there is no such setting; did you mean 'solver.steps'?"),
        (["--table-only"], "experiment 'x' has no run in "),
    ],
)
def test_bad_input_of_an_experiment_is_one_line_and_exit_2(
    tmp_path: Path, arguments: list[str], line: str
) -> None:
    result = CliRunner().invoke(main, ["experiment", "x", "--store", str(tmp_path / "s"), *arguments])
    assert result.exit_code == 2
    assert line in result.stderr
    assert not (tmp_path / "s").exists()
