"""The commands that read the store alone: no Prefect, no server, no home."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT_PREFECT = """
import sys
sys.modules["prefect"] = None
from flows.cli import main
main()
"""


def _rzero(store: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process in which Prefect cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_PREFECT, *arguments, "--store", str(store)],
        env={**os.environ, "PREFECT_HOME": "/nonexistent", "PREFECT_API_URL": "http://127.0.0.1:9/api"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_status_needs_no_prefect(small_store: Path) -> None:
    done = _rzero(small_store, "status", "small", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert [row["state"] for row in rows] == ["finished"] * 10
    assert all(row["finished_at"] for row in rows)


def test_lineage_needs_no_prefect_and_leads_back_to_the_base_model(small_store: Path) -> None:
    where = ("lineage", "small", "--iteration", "1", "--stage", "evaluate")
    told = json.loads(_rzero(small_store, *where, "--json").stdout)
    stages = {artifact["stage"] for artifact in told["artifacts"].values()}
    assert len(told["artifacts"]) == len(stages) == 8
    assert told["problems"] == []
    shown = _rzero(small_store, *where)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("prepare_base_model, iteration 0: model") >= 2
    assert "(above)" in shown.stdout


def test_gc_shows_first_and_what_it_removes_is_not_missed(small_store: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(small_store, store)
    shutil.copytree(store / "runs/small", store / "runs/other")
    (old,) = (store / "runs/small/iteration=1/score_and_filter").iterdir()
    shutil.copytree(old, old.with_name("f" * 64))
    files = sorted(path for path in store.rglob("*") if path.is_file())
    shown = _rzero(store, "gc", "small")
    assert shown.returncode == 0, shown.stderr
    assert "nothing was removed, --delete removes them" in shown.stdout
    assert "the run does not reach its key any more" in shown.stdout
    assert sorted(path for path in store.rglob("*") if path.is_file()) == files

    told = json.loads(_rzero(store, "gc", "small", "--keep-checkpoints", "0", "--delete", "--json").stdout)
    assert all(item["removed"] for item in told["removable"])
    assert {item["what"] for item in told["removable"]} == {"artifact", "checkpoint"}
    left = {path for path in store.rglob("*") if path.is_file()}
    gone = [path for path in files if path not in left]
    assert sum(item["bytes"] for item in told["removable"]) > 0
    assert gone
    assert all("f" * 64 in path.parts or "checkpoints" in path.parts for path in gone)
    assert not any("other" in path.parts for path in gone)
    again = _rzero(store, "gc", "small", "--keep-checkpoints", "0")
    assert again.stdout.startswith("nothing to remove")
    status = json.loads(_rzero(store, "status", "small", "--json").stdout)
    assert [row["state"] for row in status] == ["finished"] * 10


def test_verify_reads_every_byte_and_lets_what_is_damaged_be_made_again(
    small_store: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(small_store, store)
    whole = _rzero(store, "verify", "small")
    assert whole.returncode == 0, whole.stderr
    assert whole.stdout.splitlines()[-1].startswith("10 artifacts, ")
    assert whole.stdout.endswith("all as their manifests say\n")

    (table,) = store.glob("runs/small/iteration=1/evaluate/*/part-00000.parquet")
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 1
    table.write_bytes(content)
    foreign = next(store.glob("runs/small/iteration=1/train_solver/*")) / "model-00002.safetensors"
    foreign.write_bytes(b"foreign")
    broken = _rzero(store, "verify", "--all", "--set-aside")
    assert broken.returncode == 1
    # The lines fold at the terminal's width.
    assert " ".join(broken.stderr.split()) == (
        f"rzero: {table} does not have the sha256 of its manifest "
        f"rzero: {foreign} is in no manifest "
        "rzero: 1 damaged artifact; start the run again to make it anew"
    )
    states = {
        row["stage"]: row["state"] for row in json.loads(_rzero(store, "status", "small", "--json").stdout)
    }
    assert [stage for stage, state in states.items() if state != "finished"] == ["evaluate"]


def test_an_export_holds_what_the_manifest_lists_a_card_and_nothing_that_lay_about(
    small_store: Path, tmp_path: Path
) -> None:
    store, target = tmp_path / "store", tmp_path / "solver"
    shutil.copytree(small_store, store)
    left_over = target.with_name("solver.partial")
    left_over.mkdir()
    (left_over / "modeling_evil.py").write_text("left by somebody")
    arguments = ("export", "small", "--iteration", "1", "--to", str(target))
    assert _rzero(store, *arguments).returncode == 0
    listed = next(store.glob("runs/small/iteration=1/train_solver/*/_manifest.json"))
    names = [file["name"] for file in json.loads(listed.read_bytes())["files"]]
    exported = ["README.md", *(name for name in names if "/" not in name)]
    assert sorted(path.name for path in target.iterdir()) == sorted(exported)
    shutil.rmtree(target)
    weights = listed.with_name("model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    refused = _rzero(store, *arguments)
    assert refused.returncode == 2
    assert "does not have the sha256 of its manifest: start the run again" in refused.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["solver.partial", "store"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("gc", "nobody"), "there is no run 'nobody'"),
        (("gc", "small", "--keep-iterations", "last"), "--keep-iterations: 'last' is not like"),
        (("lineage", "small", "--iteration", "1", "--stage", "x"), "there is no stage 'x'"),
        (
            ("lineage", "small", "--iteration", "7", "--stage", "evaluate"),
            "the iterations of 'small' end with 1",
        ),
    ],
)
def test_a_wrong_question_is_one_line_and_exit_2(
    small_store: Path, arguments: tuple[str, ...], told: str
) -> None:
    done = _rzero(small_store, *arguments)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
