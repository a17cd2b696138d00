"""Checkpoints of a training in the store."""

import json
from pathlib import Path

import pytest

from infra.artifacts.artifact import Location
from infra.artifacts.checkpoints import StoreCheckpoints
from infra.store.store import Store

LOCATION = Location(run="a", iteration=1, stage="train_solver", key="k")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def _save(checkpoints: StoreCheckpoints, step: int, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "state.bin").write_bytes(f"state {step}".encode())
    checkpoints.save(step, folder)


def _folder(store: Store, step: int) -> str:
    folder = f"{LOCATION.work}/checkpoints"
    (name,) = [name for name in store.names(folder) if name.startswith(f"step-{step:06d}-")]
    return f"{folder}/{name}"


def test_the_newest_complete_one_is_found(store: Store, tmp_path: Path) -> None:
    checkpoints = StoreCheckpoints(store, LOCATION)
    assert checkpoints.newest() is None
    for step in (5, 10, 15):
        _save(checkpoints, step, tmp_path / "work")
    store.remove(f"{_folder(store, 15)}/_checkpoint.json")
    newest = checkpoints.newest()
    assert newest is not None
    assert newest[0] == 10
    assert (newest[1] / "state.bin").read_bytes() == b"state 10"


def test_a_damaged_one_is_passed_over(store: Store, tmp_path: Path) -> None:
    checkpoints = StoreCheckpoints(store, LOCATION)
    _save(checkpoints, 5, tmp_path / "work")
    _save(checkpoints, 10, tmp_path / "work")
    store.put(f"{_folder(store, 10)}/state.bin", b"state 99")
    newest = checkpoints.newest()
    assert newest is not None
    assert newest[0] == 5


def test_only_the_newest_two_are_kept(store: Store, tmp_path: Path) -> None:
    checkpoints = StoreCheckpoints(store, LOCATION)
    for step in range(1, 6):
        _save(checkpoints, step, tmp_path / "work")
    names = store.names(f"{LOCATION.work}/checkpoints")
    assert [name.rpartition("-")[0] for name in names] == ["step-000004", "step-000005"]


def test_two_that_save_the_same_step_do_not_mix(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    for writer in ("one", "other"):
        for name in ("model", "optimizer"):
            (folder / name).write_text(f"{name} of {writer}")
        StoreCheckpoints(store, LOCATION).save(5, folder)
    checkpoints = StoreCheckpoints(store, LOCATION)
    newest = checkpoints.newest()
    assert newest is not None
    writers = {(newest[1] / name).read_text().rpartition(" ")[2] for name in ("model", "optimizer")}
    assert len(writers) == 1


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside", ".."])
def test_a_listing_that_names_a_file_elsewhere_is_passed_over(
    store: Store, tmp_path: Path, name: str
) -> None:
    checkpoints = StoreCheckpoints(store, LOCATION)
    _save(checkpoints, 5, tmp_path / "work")
    _save(checkpoints, 10, tmp_path / "work")
    folder = _folder(store, 10)
    listing = json.loads(store.read(f"{folder}/_checkpoint.json"))
    store.put(f"{folder}/_checkpoint.json", json.dumps([listing[0] | {"name": name}]).encode())
    newest = checkpoints.newest()
    assert newest is not None
    assert newest[0] == 5
    assert not (newest[1].parent / "outside").exists()
