"""Temporary folders: a killed process leaves them, the next one removes them, nobody loses one in use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from infra.scratch import ScratchFolder, remove_abandoned

HOLDER = """
import pathlib, sys
from infra.scratch import ScratchFolder
held = ScratchFolder("held", pathlib.Path(sys.argv[1]))
(held.path / "weights").write_text("48 GB")
print(held.path, flush=True)
sys.stdin.read()
"""
FORK = """
import os
if not os.fork():
    sys.stdin.read()
    os._exit(0)
print("""
HOLDER_THAT_FORKS = HOLDER.replace("print(", FORK)


def _holder(place: Path, program: str = HOLDER) -> tuple[subprocess.Popen[str], Path]:
    command = [sys.executable, "-c", program, str(place)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_holds_stays(tmp_path: Path) -> None:
    killed, left = _holder(tmp_path)
    living, held = _holder(tmp_path)
    killed.kill()
    killed.wait()
    assert (left / "weights").exists()
    with ScratchFolder("next", tmp_path) as folder:
        assert sorted(tmp_path.iterdir()) == sorted((held, folder))
        assert (held / "weights").read_text() == "48 GB"
        remove_abandoned(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted((held, folder))
    living.communicate()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_stays_while_a_fork_of_the_killed_process_lives(tmp_path: Path) -> None:
    killed, held = _holder(tmp_path, HOLDER_THAT_FORKS)
    killed.kill()
    killed.wait()
    remove_abandoned(tmp_path)
    assert held.exists()
    killed.communicate()
    remove_abandoned(tmp_path)
    assert not held.exists()


def test_folders_and_links_that_are_not_ours_stay(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("kept")
    place = tmp_path / "place"
    place.mkdir()
    (place / "rzero.link-1").symlink_to(elsewhere)
    (place / "rzero.file-1").write_text("a file")
    (place / "rzero-other").mkdir()
    remove_abandoned(place)
    assert {path.name for path in place.iterdir()} == {"rzero.link-1", "rzero.file-1", "rzero-other"}
    assert (elsewhere / "file").exists()


def test_a_folder_goes_with_its_object(tmp_path: Path) -> None:
    folder = ScratchFolder("short", tmp_path)
    path = folder.path
    del folder
    assert not path.exists()
    before = len(os.listdir("/proc/self/fd"))
    with ScratchFolder("short", tmp_path) as path:
        assert path.is_dir()
    assert len(os.listdir("/proc/self/fd")) == before
    assert not path.exists()
