"""Local copies of models: fetched once, bounded, and never dropped while in use."""

import fcntl
import multiprocessing
import os
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from infra.artifacts.artifact import ArtifactRef, DamagedArtifact, Location
from infra.models import cache as model_cache
from infra.models.cache import ModelCache
from infra.models.folder import model_folder
from infra.store.store import Store, StoreError
from tests.support.artifact_samples import make_model, model_files

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(autouse=True)
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("RZERO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RZERO_CACHE_GIB", raising=False)
    yield tmp_path / "cache"
    for final in list(model_cache._held):
        model_cache._release(final)


@pytest.fixture
def store() -> Store:
    return Store(f"memory://{uuid.uuid4().hex}")


def _model(
    store: Store, folder: Path, number: int = 0, weights_bytes: int = 1000
) -> tuple[Location, ArtifactRef]:
    location = Location(run="a", iteration=1, stage="train_solver", key=f"m{number}")
    return location, make_model(store, model_files(folder, weights_bytes, seed=number), location)


def _fill(folder: Path) -> None:
    (folder / "w").write_bytes(bytes(100))


def _models(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if not path.name.startswith("."))


def test_a_model_is_copied_once_with_its_progress(store: Store, tmp_path: Path) -> None:
    location, ref = _model(store, tmp_path / "model")
    seen: list[tuple[int, int]] = []
    folder = model_folder(store, ref, lambda done, total: seen.append((done, total)))
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert seen[-1] == (ref.bytes, ref.bytes)
    store.remove(f"{location.path}/model.safetensors")
    assert model_folder(store, ref) == folder


def test_a_model_that_is_damaged_in_the_store_is_not_kept(store: Store, tmp_path: Path) -> None:
    location, ref = _model(store, tmp_path / "model")
    store.put(f"{location.path}/model.safetensors", bytes(1000))
    with pytest.raises(DamagedArtifact, match=r"model\.safetensors does not have the sha256"):
        model_folder(store, ref)
    assert _models(tmp_path / "cache") == []


def test_another_content_at_the_place_of_a_reference_is_named(store: Store, tmp_path: Path) -> None:
    location, ref = _model(store, tmp_path / "model")
    store.remove(location.path)
    store.remove(location.work)
    make_model(store, model_files(tmp_path / "model", 1000, seed=9), location)
    with pytest.raises(DamagedArtifact, match="is not what it was"):
        model_folder(store, ref)


def test_a_fetch_that_was_broken_off_is_taken_up_again(
    store: Store, tmp_path: Path, fresh_cache: Path
) -> None:
    _, ref = _model(store, tmp_path / "model")
    partial = fresh_cache / f".partial-{ref.digest}"
    partial.mkdir(parents=True)
    (partial / "config.json").write_text('{"model_type": "none"}')
    (partial / "model.safetensors").write_bytes(b"half")
    folder = model_folder(store, ref)
    assert (folder / "model.safetensors").stat().st_size == 1000
    assert not partial.exists()


def test_the_least_recently_used_goes_first(fresh_cache: Path) -> None:
    cache = ModelCache(fresh_cache, limit_bytes=350, in_use=0)
    for age, name in enumerate(("a", "b", "c")):
        os.utime(cache.folder(name, 100, _fill), (age, age))
    cache.folder("a", 100, _fill)
    cache.folder("d", 100, _fill)
    assert _models(fresh_cache) == ["a", "c", "d"]


def test_what_this_process_uses_is_not_dropped(fresh_cache: Path) -> None:
    cache = ModelCache(fresh_cache, limit_bytes=150)
    for name in ("a", "b", "c", "d", "e", "f"):
        cache.folder(name, 100, _fill)
    assert _models(fresh_cache) == ["b", "c", "d", "e", "f"]
    assert len(model_cache._held) == 4


def test_a_failed_fetch_leaves_no_model(fresh_cache: Path) -> None:
    def fetch(folder: Path) -> None:
        _fill(folder)
        raise ConnectionError

    cache = ModelCache(fresh_cache, limit_bytes=1000)
    with pytest.raises(ConnectionError):
        cache.folder("a", 100, fetch)
    assert _models(fresh_cache) == []
    assert (cache.folder("a", 100, _fill) / "w").exists()


def test_a_bound_that_is_no_number_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RZERO_CACHE_GIB", "much")
    with pytest.raises(StoreError, match="RZERO_CACHE_GIB is 'much', not a number of GiB"):
        ModelCache.from_environment()


def test_a_cache_that_cannot_be_written_is_named(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RZERO_CACHE", str(tmp_path / "file" / "cache"))
    _, ref = _model(store, tmp_path / "model")
    with pytest.raises(StoreError, match=r"cannot hold the model .*; set RZERO_CACHE"):
        model_folder(store, ref)


def _fetch_in_a_process(root: str, gate: Barrier, log: str) -> None:
    def fetch(folder: Path) -> None:
        with open(log, "a") as file:
            file.write("fetched\n")
        _fill(folder)

    gate.wait(60)
    for name in ("a", "b", "c"):
        folder = ModelCache(Path(root), limit_bytes=1000).folder(name, 100, fetch)
        assert (folder / "w").stat().st_size == 100


def _use_in_a_process(root: str, holds: Barrier) -> None:
    ModelCache(Path(root), limit_bytes=150).folder("a", 100, _fill)
    holds.wait(60)
    holds.wait(60)


def test_of_two_processes_one_fetches_and_both_have_it(tmp_path: Path) -> None:
    gate = SPAWN.Barrier(2)
    arguments = (str(tmp_path / "cache"), gate, str(tmp_path / "log"))
    processes = [SPAWN.Process(target=_fetch_in_a_process, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / "log").read_text().count("fetched") == 3


def test_what_another_process_uses_is_not_dropped_until_it_ends(fresh_cache: Path) -> None:
    holds = SPAWN.Barrier(2)
    process = SPAWN.Process(target=_use_in_a_process, args=(str(fresh_cache), holds))
    process.start()
    holds.wait(60)
    cache = ModelCache(fresh_cache, limit_bytes=150)
    cache.folder("b", 100, _fill)
    assert _models(fresh_cache) == ["a", "b"]
    process.kill()
    process.join(60)
    cache.folder("c", 100, _fill)
    assert _models(fresh_cache) == ["b", "c"]


def test_who_comes_while_nobody_has_it_yet_waits_for_the_fetch_and_not_for_the_use(
    fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, both_want_it = fcntl.flock, threading.Barrier(2)
    fetched = []

    def flock(handle: int, operation: int) -> None:
        lock(handle, operation)
        if operation == fcntl.LOCK_SH and not fetched:
            both_want_it.wait(60)

    def fetch(folder: Path) -> None:
        fetched.append(folder)
        _fill(folder)

    monkeypatch.setattr(fcntl, "flock", flock)
    cache = ModelCache(fresh_cache, limit_bytes=1000)
    pool = ThreadPoolExecutor(2)
    asked = [pool.submit(cache.folder, "a", 100, fetch) for _ in range(2)]
    # The first one uses the model from here on, and does not let go.
    assert [each.result(timeout=30) for each in asked] == [fresh_cache / "a"] * 2
    assert len(fetched) == 1
    pool.shutdown()
