"""A store that an earlier version made is still read; what it holds is made anew only when a run goes on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.cli import main
from infra.artifacts.runs import load_run
from infra.store.store import Store
from tasks.stage.graph import STAGES
from tasks.stage.walk import readable_steps, walk

EARLIER = Path(__file__).parents[1] / "support" / "run_of_0_1.json"
"""run.json of the small run as version 0.1 froze it: one flat section for every backend."""


@pytest.fixture
def earlier(small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small run under other keys, without the stage that came later."""
    store = tmp_path / "store"
    shutil.copytree(small_store, store, ignore=shutil.ignore_patterns("sample_evaluation"))
    shutil.copyfile(EARLIER, store / "runs/small/run.json")
    for name, stage in STAGES.items():
        monkeypatch.setitem(STAGES, name, replace(stage, version=stage.version + 1))
    return store


def _rzero(store: Path, *arguments: str) -> str:
    done = CliRunner().invoke(main, [*arguments, "--store", str(store)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_its_configuration_has_todays_names(earlier: Path) -> None:
    config = load_run(Store(str(earlier)), "small")
    assert config is not None
    assert config.domain == "arithmetic"
    assert config.timeout_seconds == {}


def test_what_it_holds_is_outdated_for_a_reader_and_unfinished_for_a_run(earlier: Path) -> None:
    store = Store(str(earlier))
    config = load_run(store, "small")
    assert config is not None
    steps = readable_steps(store, config, 1)
    assert [step.stage for step in steps] == [
        *("prepare_base_model", "evaluate"),
        *("train_challenger", "generate_questions", "sample_answers", "score_and_filter"),
        *("train_solver", "evaluate"),
    ]
    assert all(step.ref and step.is_earlier for step in steps)
    assert not any(step.ref for step in walk(store, config, 1))


def test_status_inspect_export_results_and_report_read_it(earlier: Path, tmp_path: Path) -> None:
    rows = json.loads(_rzero(earlier, "status", "small", "--json"))
    assert {row["state"] for row in rows} == {"outdated"}
    assert "p_hat" in _rzero(earlier, "inspect", "small", "--iteration", "1", "--stage", "scored")
    assert "greedy" in _rzero(earlier, "results", "small")
    _rzero(earlier, "export", "small", "--iteration", "1", "--to", str(tmp_path / "solver"))
    assert (tmp_path / "solver/model.safetensors").is_file()
    _rzero(earlier, "report", "small", "--to", str(tmp_path / "report.html"))
    assert "1 of 1 iteration finished" in (tmp_path / "report.html").read_text(encoding="utf-8")
