"""The store's two promises, over the local disk and over memory."""

import os
import threading
from pathlib import Path

import pytest

from infra.store.store import Store, StoreError


def test_what_is_put_is_read(store: Store) -> None:
    store.put("a/b.bin", b"one")
    store.put("a/b.bin", b"two")
    assert store.read("a/b.bin") == b"two"
    assert store.size("a/b.bin") == 3
    assert store.names("a") == ["b.bin"]


def test_a_file_that_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(StoreError, match=r"nothing\.json is missing"):
        store.read("nothing.json")
    assert store.size("nothing.json") is None
    assert store.names("nowhere") == []


def test_create_succeeds_once(store: Store) -> None:
    assert store.create("m.json", b"first")
    assert not store.create("m.json", b"second")
    assert store.read("m.json") == b"first"


def test_of_many_writers_exactly_one_creates(store: Store) -> None:
    won: list[int] = []
    gate = threading.Barrier(8)

    def write(number: int) -> None:
        gate.wait()
        if store.create("m.json", str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.read("m.json") == str(won[0]).encode()


def test_uris_go_there_and_back(store: Store) -> None:
    store.put("runs/a/x.json", b"{}")
    assert store.path_of(store.uri_of("runs/a/x.json")) == "runs/a/x.json"
    with pytest.raises(StoreError, match="does not lie in the store"):
        store.path_of("/somewhere/else.json" if store.is_local else "memory://other/else.json")


def test_removing_takes_the_whole_folder(store: Store) -> None:
    store.put("a/b/c", b"1")
    store.remove("a")
    store.remove("a")
    assert not store.exists("a/b/c")


def test_a_store_that_cannot_be_written_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written to"):
        Store(str(tmp_path / "file" / "store")).check_writable()
    assert sorted(os.listdir(tmp_path)) == ["file"]


def test_a_writable_store_is_left_as_it_was(tmp_path: Path) -> None:
    Store(str(tmp_path / "new")).check_writable()
    assert list((tmp_path / "new").iterdir()) == []


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        Store("nonsense://bucket/x")


def test_no_temporary_file_stays_beside_what_is_written(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.put("a", b"1")
    store.create("b", b"2")
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]
