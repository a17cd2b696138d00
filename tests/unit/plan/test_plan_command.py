"""`rzero plan` as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from data.resolve import yaml_names
from flows.cli import main
from tests.support.nvidia_smi import write_nvidia_smi

ROOT = Path(__file__).parents[3]


def _plan(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["plan", *arguments])


def test_a_plan_that_fits_is_a_table_with_a_timeline() -> None:
    done = _plan("--preset", "qwen3-4b", "--gpus", "8", "--memory-gib", "80")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("qwen3-4b fits 8 GPUs of 80 GiB\n")
    for stage in ("train_challenger", "its frozen Solver", "questions, answers, evaluation", "train_solver"):
        assert f"\n{stage} " in done.stdout
    assert "\nGPU 0–3   |" in done.stdout
    assert "rates: assumed" in done.stdout


def test_a_plan_that_does_not_fit_says_what_would_and_draws_nothing() -> None:
    done = _plan("--preset", "qwen3-8b", "--gpus", "1", "--memory-gib", "40")
    assert done.exit_code == 1
    assert "qwen3-8b does not fit 1 GPU of 40 GiB" in done.stdout
    assert "rzero: train_challenger: the engine of the rollouts takes" in done.stderr
    assert "what fits:" in done.stderr
    assert "|" not in done.stdout


@pytest.mark.parametrize("columns", [80, 100, 160])
@pytest.mark.parametrize("preset", ["qwen3-8b", "tiny"])
@pytest.mark.parametrize("gpus", [1, 8])
def test_no_line_is_over_the_width(
    monkeypatch: pytest.MonkeyPatch, preset: str, gpus: int, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    done = _plan("--preset", preset, "--gpus", str(gpus), "--memory-gib", "40")
    assert max(map(len, done.output.splitlines())) <= columns, done.output


def test_settings_and_overlays_change_the_plan_as_they_change_a_run() -> None:
    where = ["--gpus", "8", "--memory-gib", "80", "--json"]
    layouts = {
        preset: json.loads(_plan("--preset", preset, *more, *where).stdout)["stages"][0]["layout"]
        for preset, more in (
            ("qwen3-4b", []),
            ("qwen3-4b+lora", []),
            ("qwen3-8b", ["--set", "trainer.offload=always"]),
        )
    }
    trainings = [layout["training"] for layout in layouts.values()]
    assert [training["lora_rank"] for training in trainings] == [0, 32, 0]
    assert [training["offload"] for training in trainings] == ["never", "never", "always"]


def test_json_has_the_stages_and_the_spans_of_the_timeline() -> None:
    found = json.loads(_plan("--gpus", "4", "--memory-gib", "80", "--nodes", "2", "--json").stdout)
    assert found["fits"]
    assert [stage["gpus"] for stage in found["stages"]] == [4, 4, 8, 8]
    assert found["stages"][0]["bytes"] == sum(found["stages"][0]["parts"].values())
    assert {span["stage"] for span in found["timeline"]["spans"]} >= {"train_challenger", "train_solver"}


def test_a_layout_that_cannot_be_is_one_line() -> None:
    done = _plan("--gpus", "4", "--memory-gib", "80", "--set", "trainer.solver_gpus=4")
    assert done.exit_code == 2
    assert done.stderr == (
        "rzero: trainer.solver_gpus: 4 of 4 GPUs for the frozen Solver leave none to train on\n"
    )


def test_a_run_that_does_not_fit_this_machine_is_refused_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(write_nvidia_smi(tmp_path / "bin", "580.1", gpus=1, mebibytes=40960)))
    store = tmp_path / "store"
    run = ["run", "--run", "a", "--preset", "qwen3-8b", "--store", str(store)]
    done = CliRunner().invoke(main, run)
    assert done.exit_code == 2
    assert done.stderr.startswith("rzero: train_challenger: the engine of the rollouts takes")
    assert "what fits: " in done.stderr
    assert not store.exists()


def test_without_numbers_this_machines_gpus_are_planned_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(write_nvidia_smi(tmp_path / "none", None)))
    refused = _plan("--preset", "qwen3-4b")
    assert refused.exit_code == 2
    assert refused.stderr == (
        "rzero: plan: this machine has no GPU; say for which: --gpus 8 --memory-gib 80\n"
    )
    monkeypatch.setenv("PATH", str(write_nvidia_smi(tmp_path / "four", "580.1", gpus=4)))
    assert "qwen3-4b fits 4 GPUs of 79.6475 GiB" in _plan("--preset", "qwen3-4b").stdout


def test_the_documentations_timeline_is_what_the_command_prints() -> None:
    printed = _plan("--preset", "qwen3-4b", "--gpus", "8", "--memory-gib", "40").stdout
    drawn = printed[printed.index("authors: ") : printed.index("C Challenger's")]
    assert f"```\n{drawn}```" in (ROOT / "docs/scale.md").read_text()


def test_the_documentations_table_is_what_the_command_prints() -> None:
    table = _plan("--all").stdout
    assert table in (ROOT / "docs/scale.md").read_text(), (
        "run `rzero plan --all` and put it into docs/scale.md"
    )
    assert len(table.splitlines()) == 2 + len(yaml_names("data.presets")) * 5
