"""A run is the folder that its run.json lies in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from data.resolve import ConfigError, resolve
from flows.cli import main
from infra.artifacts.runs import freeze_run, known_run
from infra.store.store import Store, StoreError

COMMANDS = (
    ("run", "--run", "copy"),
    ("status", "copy"),
    ("results", "copy"),
    ("inspect", "copy"),
    ("inspect", "copy", "--iteration", "1", "--stage", "scored"),
    ("report", "copy"),
    ("export", "copy", "--iteration", "1", "--to", "there"),
    ("push", "copy", "--iteration", "1", "--to", "org/name"),
    ("lineage", "copy", "--iteration", "1", "--stage", "evaluate"),
    ("gc", "copy"),
    ("gc", "copy", "--delete", "--keep-checkpoints", "0"),
    ("gc", "--delete", "--keep-checkpoints", "0"),
)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A store with a run, a part of its work that no iteration needs, and a copy of all of it."""
    store = tmp_path / "store"
    freeze_run(Store(str(store)), resolve("original", "tiny", {"iterations": 1}))
    stale = store / "runs/original/iteration=1/train_solver" / ("a" * 64)
    (stale / "_checkpoints").mkdir(parents=True)
    (stale / "_checkpoints/step-1").write_bytes(b"x")
    (stale / "_manifest.json").write_bytes(b"{}")
    shutil.copytree(store / "runs/original", store / "runs/copy")
    return store


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_run_that_says_it_is_another_is_refused_and_nothing_is_removed(
    copied: Path, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = _files(tmp_path)
    done = CliRunner().invoke(main, [*arguments, "--store", str(copied)])
    assert done.exit_code == 2, done.output
    assert "is of the run 'original'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert _files(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["copy/../original", "../runs/original", "..", ".", "original/", "/", "", "original\n", "o\x00"]
)
def test_what_is_no_name_of_a_run_reaches_no_folder(copied: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="is not a run name"):
        known_run(Store(str(copied)), name)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe\x00binary",
        b"",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[]",
        b"7",
        b"null",
        b'"original"',
        b'{"run": ' + b"9" * 5000 + b"}",
        *(
            json.dumps({section: value}).encode()
            for section in ("base_model", "challenger", "memory", "sampler", "trainer", "timeout_seconds")
            for value in ([], [1], 7, "x", {"backend": [1], "reward": [1], "repetition_weight": 1})
        ),
    ],
    ids=lambda content: repr(content[:40]),
)
def test_a_run_json_that_is_none_is_one_line(copied: Path, content: bytes) -> None:
    (copied / "runs/original/run.json").write_bytes(content)
    with pytest.raises(StoreError, match="cannot be read by this version of rzero") as refused:
        known_run(Store(str(copied)), "original")
    assert len(str(refused.value).removeprefix(str(copied))) < 300
    assert str(refused.value).isprintable()
