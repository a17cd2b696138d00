"""Every command fits the terminal: no header is cut, no line is wider, but for a path that stays whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.cli import COMMANDS, main
from flows.experiment_table import experiment_rows, gain_rows, hard_groups, shown_gains, shown_rows
from flows.live.show import show_table
from flows.report.read import read_runs
from infra.store.store import Store

ARGUMENTS = {
    "run": [["--run", "small"]],
    "status": [[], ["small"]],
    "results": [["small"]],
    "inspect": [
        ["small"],
        *(
            ["small", "--iteration", "1", "--stage", stage, *more]
            for stage in (
                "scored",
                "curriculum",
                "train_solver",
                "answers",
                "completions",
                "evaluate",
                "probe",
            )
            for more in ([], ["--columns"])
        ),
    ],
    "report": [["small"]],
    "export": [["small", "--iteration", "1", "--to"]],
    "lineage": [["small", "--iteration", "1", "--stage", "evaluate"]],
    "verify": [["small"], ["--all"]],
    "gc": [["small", "--keep-checkpoints", "0"]],
    "doctor": [[]],
    "plan": [["--preset", "qwen3-4b", "--gpus", "8", "--memory-gib", "40"]],
}
CALLS = [(name, arguments) for name, calls in ARGUMENTS.items() for arguments in calls]


def test_every_command_is_measured() -> None:
    # The table of an experiment is measured by itself: its runs would take minutes, as would a calibration.
    # A push needs a hub: tests/unit/hub reads every line that it says.
    assert {*ARGUMENTS, "experiment", "calibrate", "push"} == set(COMMANDS)


def _check(text: str, columns: int) -> None:
    lines = text.splitlines()
    assert lines
    for line in lines:
        is_whole_path = " " not in line.strip() and "/" in line
        assert len(line) <= columns or is_whole_path, line
    for number, line in enumerate(lines):
        if line and not line.strip("─"):
            assert "…" not in lines[number - 1], lines[number - 1]


@pytest.mark.parametrize("columns", [80, 100, 160])
@pytest.mark.parametrize(("name", "arguments"), CALLS)
def test_no_line_is_over_the_width(
    small_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    arguments: list[str],
    columns: int,
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    where = [str(tmp_path / "solver")] if name == "export" else []
    done = CliRunner().invoke(main, [name, *arguments, *where, "--store", str(small_store)])
    assert done.exit_code in (0, 1 if name == "doctor" else 0), done.output
    _check(done.output, columns)


@pytest.mark.parametrize("columns", [80, 100, 160])
def test_the_table_of_an_experiment_is_not_over_the_width(
    small_store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    runs = read_runs(Store(str(small_store)), ["small"])
    variants = {"untrained-challenger": runs, "main": runs}
    show_table(shown_rows(experiment_rows(variants, hard_groups(runs))), "title", keys=2)
    show_table(shown_gains(gain_rows(variants)), "gains", keys=3)
    _check(capsys.readouterr().out, columns)


def test_inspect_shows_one_table_names_what_it_leaves_out_and_shows_all_when_wide(
    small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    arguments = [
        "inspect",
        "small",
        "--iteration",
        "1",
        "--stage",
        "completions",
        "--store",
        str(small_store),
    ]
    narrow, wide = CliRunner().invoke(main, arguments), CliRunner().invoke(main, [*arguments, "--wide"])
    assert sum(not line.strip("─") for line in narrow.output.splitlines() if line) == 1
    left = narrow.output.partition("Not shown: ")[2].partition(".\n")[0].replace("\n", " ").split(", ")
    header = wide.output.splitlines()[0].split()
    assert left
    assert set(left) < set(header)
    assert set(narrow.output.splitlines()[0].split()) | set(left) == set(header)
    assert "…" not in wide.output
