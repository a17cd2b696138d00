"""The check of the first machine with a GPU, dry: all that it does, on a CPU."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_dry_check_kills_and_resumes_an_iteration_and_writes_down_what_it_measured(
    python: str, tmp_path: Path
) -> None:
    folder = tmp_path / "check"
    command = [sys.executable, "-m", "tests.gpu_check", "--dry", "--folder", str(folder), "--minutes", "240"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    table = (folder / "gpu-check.md").read_text()
    assert done.returncode == 0, table
    assert "**everything worked**" in table
    assert "killed (kill -9) with the Challenger's step 1 saved" in table
    assert "resumed from step 1 by the same command; " in table
    assert "| 1 train_solver |" in table
    assert table.count("rzero / bare:") == 2


def test_a_folder_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "note").write_text("mine")
    command = [sys.executable, "-m", "tests.gpu_check", "--dry", "--folder", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{tmp_path} is not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["note"]
