"""The `rzero` command as a person meets it: in processes of its own, but for wrong input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

from flows.cli import COMMANDS, main
from tests.support.small_run import SMALL_RUN

RZERO = [sys.executable, "-m", "flows.cli"]


def rzero(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command with a store of its own folder."""
    environment = {key: value for key, value in os.environ.items() if key != "RZERO_STORE"}
    return subprocess.run(
        [*RZERO, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def refusal(*arguments: str) -> str:
    """What the command says, in this process, to input that it refuses with exit code 2."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    return result.stderr


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)])
def test_help_imports_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    code = f"import sys; from flows.cli import main; sys.argv = ['rzero', *{arguments}, '--help']\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += "heavy = {'torch', 'transformers', 'prefect', 'polars', 'pyarrow', 'numpy', 'pydantic'}\n"
    code += "heavy &= set(sys.modules)\n"
    code += "assert not heavy, heavy"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--help" in done.stdout
    if not arguments:
        assert all(f"\n  {name} " in done.stdout for name in COMMANDS)
        assert "..." not in done.stdout.partition("Commands:")[2]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--run", "a", "--preset", "nope"], "there is no preset 'nope'"),
        (["--run", "a", "--set", "solver.lr=1"], "solver.lr: there is no such setting"),
        (["--run", "a", "--set", "solver.steps=x"], "solver.steps:"),
        (["--run", "a", "--iterations", "-1"], "iterations:"),
        (["--run", "../a"], "'../a' is not a run name"),
        (["--run", "a/b"], "'a/b' is not a run name"),
        (["--run", "a", "--set", "evaluation.benchmarks=[chess]"], "unknown benchmark 'chess'"),
        (["--run", "a", "--store", "in-the-way/store"], "cannot be written to"),
        (["--run", "a", "--store", "bogus://x"], "cannot be opened"),
    ],
)
def test_bad_input_is_one_line_and_exit_2_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    (tmp_path / "in-the-way").write_text("a file")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RZERO_STORE", raising=False)
    said = refusal("run", *arguments)
    assert told in said
    assert len(said.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in-the-way"]


def test_without_torch_a_run_is_refused_in_one_line_that_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if it were not installed.
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.chdir(tmp_path)
    said = refusal("run", "--run", "a")
    assert "needs torch, not installed here: pip install 'rzero[local]'" in said
    assert len(said.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_the_name_of_a_run_with_another_configuration_is_refused(small_store: Path) -> None:
    before = sorted(path for path in small_store.rglob("*"))
    arguments = [item for override in SMALL_RUN for item in ("--set", override)]
    done = rzero(
        "run", "--run", "small", "--store", str(small_store), *arguments, "--set", "seed=5", cwd=small_store
    )
    assert done.returncode == 2
    assert "another configuration: seed: was 0, now 5" in done.stderr
    assert sorted(path for path in small_store.rglob("*")) == before


def test_a_finished_run_executes_no_stage_and_says_so(small_store: Path) -> None:
    done = rzero("run", "--run", "small", "--store", str(small_store), "--json", cwd=small_store)
    assert done.returncode == 0, done.stderr
    assert "run small: its one iteration is finished: nothing to do" in done.stderr
    assert [row["iteration"] for row in json.loads(done.stdout)] == [0, 1]


def test_a_run_ends_with_its_results_its_report_and_what_to_type_next(
    small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Wide enough for the tests' long paths: a command that is too long goes on in another line.
    monkeypatch.setenv("COLUMNS", "160")
    done = rzero("run", "--run", "small", "--store", str(small_store), cwd=small_store)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 12
    assert ".parquet" not in done.stdout
    report = next(line.removeprefix("Report: ") for line in lines if line.startswith("Report: "))
    assert Path(report).is_file()
    told = [line.removeprefix("Next:").strip() for line in lines if " rzero " in line]
    assert len(told) == 3
    for command in told[:2]:
        assert rzero(*command.split()[1:], cwd=small_store).returncode == 0


def test_inspect_without_a_stage_lists_the_tables_and_with_json_where_they_lie(small_store: Path) -> None:
    where = ("inspect", "small", "--store", str(small_store))
    rows = json.loads(rzero(*where, "--json", cwd=small_store).stdout)
    tables = {(row["iteration"], row["stage"], row["table"]): row for row in rows}
    assert {(0, "evaluate", "evaluation"), (1, "train_solver", "rollouts")} <= set(tables)
    scored = tables[1, "score_and_filter", "scored"]
    assert pl.scan_parquet(scored["uri"]).collect().height == scored["rows"]
    shown = rzero(*where, "--iteration", "1", cwd=small_store)
    assert "curriculum" in shown.stdout
    assert "prepare_base_model" not in shown.stdout


def test_status_and_inspect_read_the_store_alone(small_store: Path) -> None:
    status = rzero("status", "small", "--store", str(small_store), "--json", cwd=small_store)
    assert status.returncode == 0, status.stderr
    assert len(json.loads(status.stdout)) == 10
    query = "SELECT question, p_hat FROM self WHERE kept ORDER BY question_id"
    where = ("inspect", "small", "--store", str(small_store), "--iteration", "1")
    scored = rzero(*where, "--stage", "scored", "--sql", query, "--json", cwd=small_store)
    assert scored.returncode == 0, scored.stderr
    assert all(0.25 <= row["p_hat"] <= 0.75 for row in json.loads(scored.stdout))
    for stage in ("curriculum", "train_solver", "answers", "completions", "evaluate", "probe"):
        shown = rzero(*where, "--stage", stage, cwd=small_store)
        assert shown.returncode == 0, shown.stderr
        assert "scan_parquet" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["status", "nobody"], "there is no run 'nobody'"),
        (
            ["inspect", "small", "--iteration", "9", "--stage", "scored"],
            "the iterations of 'small' end with 1",
        ),
        (
            ["inspect", "small", "--iteration", "1", "--stage", "dreams"],
            "there is no stage or table 'dreams'",
        ),
        (["inspect", "small", "--stage", "scored"], "--iteration: say of which iteration"),
        (["inspect", "small", "--iteration", "0", "--stage", "scored"], "there is no score_and_filter"),
        (["inspect", "small", "--iteration", "1", "--stage", "scored", "--table", "x"], "has no table 'x'"),
        (["inspect", "small", "--iteration", "1", "--stage", "scored", "--sql", "SELEC"], "--sql:"),
        (["export", "small", "--iteration", "7", "--to", "there"], "has iterations 0 to 1"),
    ],
)
def test_a_wrong_question_about_a_run_is_one_line_and_exit_2(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = refusal(*arguments, "--store", str(small_store))
    assert told in said
    assert len(said.strip().splitlines()) == 1


def test_an_exported_model_is_a_hugging_face_directory(small_store: Path, tmp_path: Path) -> None:
    done = rzero(
        "export", "small", "--iteration", "1", "--to", "solver", "--store", str(small_store), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    from transformers import AutoModelForCausalLM

    assert AutoModelForCausalLM.from_pretrained(tmp_path / "solver").config.vocab_size > 100
