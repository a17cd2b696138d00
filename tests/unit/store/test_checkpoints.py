"""Checkpoints of a training in the store."""

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


def test_the_newest_complete_one_is_found(store: Store, tmp_path: Path) -> None:
    checkpoints = StoreCheckpoints(store, LOCATION)
    assert checkpoints.newest() is None
    for step in (5, 10, 15):
        _save(checkpoints, step, tmp_path / "work")
    store.remove(f"{LOCATION.path}/_checkpoints/step-000015/_checkpoint.json")
    newest = checkpoints.newest()
    assert newest is not None
    assert newest[0] == 10
    assert (newest[1] / "state.bin").read_bytes() == b"state 10"


def test_a_damaged_one_is_passed_over(store: Store, tmp_path: Path) -> None:
    checkpoints = StoreCheckpoints(store, LOCATION)
    _save(checkpoints, 5, tmp_path / "work")
    _save(checkpoints, 10, tmp_path / "work")
    store.put(f"{LOCATION.path}/_checkpoints/step-000010/state.bin", b"state 99")
    newest = checkpoints.newest()
    assert newest is not None
    assert newest[0] == 5


def test_only_the_newest_two_are_kept(store: Store, tmp_path: Path) -> None:
    checkpoints = StoreCheckpoints(store, LOCATION)
    for step in range(1, 6):
        _save(checkpoints, step, tmp_path / "work")
    assert store.names(f"{LOCATION.path}/_checkpoints") == ["step-000004", "step-000005"]
    checkpoints.remove()
    assert checkpoints.newest() is None
