"""The store in a bucket of a real S3 server."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from data.schemas import SCHEMAS
from infra.artifacts.artifact import MANIFEST, DamagedArtifact, Location, find, read_table
from infra.artifacts.checkpoints import StoreCheckpoints
from infra.artifacts.damage import find_or_set_aside
from infra.artifacts.verify import verify
from infra.artifacts.writer import ArtifactWriter
from infra.models.folder import model_folder
from infra.store import s3_errors
from infra.store.lease import SKEW_SECONDS, acquire
from infra.store.s3_settings import S3Settings
from infra.store.store import DigestMismatch, Store, StoreError, file_sha256
from infra.store.tables import table_of
from tests.support.artifact_samples import (
    MODEL,
    TABLE,
    commit,
    curriculum_rows,
    make_model,
    make_table,
    model_files,
)
from tests.support.s3_server import (
    SMALL_PARTS,
    SMALLEST_PART,
    S3Server,
    fault_proxy,
    times,
    use_server,
)

SEVERAL_PARTS = 3 * SMALLEST_PART + 12345


def _bucket(store: Store) -> str:
    return store.root.split("/")[0]


def _uploads(behind: Any, store: Store) -> list[Any]:
    return list(behind.call_s3("list_multipart_uploads", Bucket=_bucket(store)).get("Uploads", []))


def test_what_is_put_is_read_listed_moved_and_removed(store: Store) -> None:
    store.check_writable()
    store.put("a/b.bin", b"one")
    store.put("a/b.bin", b"two")
    store.put("a/deep/c.bin", b"")
    assert store.read("a/b.bin") == b"two"
    assert store.read("a/deep/c.bin") == b""
    assert store.size("a/b.bin") == 3
    assert store.size("a") is None
    assert store.get("nothing") is None
    assert store.names("a") == ["b.bin", "deep"]
    assert store.names("nowhere") == []
    assert store.sizes("a") == {"b.bin": 3, "deep/c.bin": 0}
    assert store.move("a/b.bin", "d/e.bin")
    assert not store.move("a/b.bin", "d/e.bin")
    assert store.read("d/e.bin") == b"two"
    store.remove("a")
    store.remove("a")
    assert store.sizes("") == {"d/e.bin": 3}
    assert store.path_of(store.uri_of("d/e.bin")) == "d/e.bin"
    with pytest.raises(StoreError, match=r"a/b\.bin is missing"):
        store.read("a/b.bin")


def test_of_many_writers_exactly_one_creates(plain: Store) -> None:
    won: list[int] = []
    gate = threading.Barrier(8)

    def write(number: int) -> None:
        gate.wait()
        if plain.create("m.json", str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert plain.read("m.json") == str(won[0]).encode()


def test_of_two_that_write_the_same_one_creates(plain: Store) -> None:
    assert plain.create("m.json", b"same")
    assert not plain.create("m.json", b"same")


def test_both_shapes_of_a_refused_condition_are_known() -> None:
    assert s3_errors.is_refused_condition(FileExistsError())
    named = OSError(22, "pre-conditions")
    named.__cause__ = type(
        "ClientError", (Exception,), {"response": {"Error": {"Code": "PreconditionFailed"}}}
    )()
    assert s3_errors.is_refused_condition(named)
    assert not s3_errors.is_refused_condition(OSError(22, "something else"))


def test_a_file_of_several_parts_travels_there_and_back(plain: Store, behind: Any, tmp_path: Path) -> None:
    weights = model_files(tmp_path / "model", SEVERAL_PARTS) / "model.safetensors"
    up: list[tuple[int, int]] = []
    down: list[tuple[int, int]] = []
    written = plain.put_file("w", weights, lambda *seen: up.append(seen))
    assert written == (file_sha256(weights), SEVERAL_PARTS)
    assert "-4" in behind.info(plain.full("w"))["ETag"]
    plain.download("w", tmp_path / "copy", written.sha256, lambda *seen: down.append(seen))
    assert file_sha256(tmp_path / "copy") == written.sha256
    assert plain.read("w") == weights.read_bytes()
    for seen in (up, down):
        assert seen == sorted(seen)
        assert len(seen) == 4
        assert seen[-1] == (SEVERAL_PARTS, SEVERAL_PARTS)


def test_a_download_with_another_sha256_leaves_nothing(plain: Store, tmp_path: Path) -> None:
    plain.put("w", b"content")
    with pytest.raises(DigestMismatch, match="/w does not have the sha256 abc"):
        plain.download("w", tmp_path / "copy" / "w", "abc")
    assert list((tmp_path / "copy").iterdir()) == []


@pytest.mark.parametrize("fault", ["403", "interrupt"])
def test_an_upload_that_fails_is_taken_back(
    s3_server: S3Server, behind: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: str
) -> None:
    weights = model_files(tmp_path / "model", SEVERAL_PARTS) / "model.safetensors"
    bucket = s3_server.new_bucket(behind)

    def interrupted(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with fault_proxy() as proxy:
        use_server(monkeypatch, proxy.endpoint)
        store = Store(f"s3://{bucket}/store", SMALL_PARTS)
        if fault == "403":
            proxy.fault = times(1, "403", "PUT", "partNumber=3")
            with pytest.raises(StoreError, match="denies access"):
                store.put_file("w", weights)
        else:
            with pytest.raises(KeyboardInterrupt):
                store.put_file("w", weights, interrupted)
        assert any(method == "POST" and "uploads" in path for method, path in proxy.requests)
        assert _uploads(behind, store) == []
        assert not store.exists("w")


def test_an_upload_that_a_killed_process_left_is_found_and_taken_back(plain: Store, behind: Any) -> None:
    key = f"{plain.root.partition('/')[2]}/runs/a/model.safetensors"
    upload = behind.call_s3("create_multipart_upload", Bucket=_bucket(plain), Key=key)["UploadId"]
    behind.call_s3(
        "upload_part", Bucket=_bucket(plain), Key=key, UploadId=upload, PartNumber=1, Body=b"half of it"
    )
    assert plain.leftovers("runs/a", 3600.0) == []
    assert plain.leftovers("runs/other", 0.0) == []
    (leftover,) = plain.leftovers("runs/a", 0.0)
    assert leftover == (plain.full("runs/a/model.safetensors"), 10, upload)
    plain.drop(leftover)
    plain.drop(leftover)
    assert _uploads(behind, plain) == []


def test_what_another_process_writes_is_seen_at_once(plain: Store, behind: Any) -> None:
    plain.put("a/1", b"1")
    assert plain.names("a") == ["1"]
    assert not plain.exists("a/2")
    behind.pipe_file(plain.full("a/2"), b"22")
    assert plain.names("a") == ["1", "2"]
    assert plain.size("a/2") == 2
    behind.pipe_file(plain.full("a/2"), b"4444")
    assert plain.read("a/2") == b"4444"
    assert plain.sizes("a") == {"1": 1, "2": 4}


def test_many_names_come_in_pages_and_go_in_batches(plain: Store) -> None:
    store = Store(plain.uri, S3Settings(names_per_page=3, deletes_per_request=4))
    for number in range(10):
        store.put(f"many/{number}", b"1")
    assert store.names("many") == [str(number) for number in range(10)]
    assert len(store.sizes("many")) == 10
    store.remove("many")
    assert plain.sizes("many") == {}


def test_in_a_versioned_bucket_nothing_is_lost_by_removing(s3_server: S3Server, behind: Any) -> None:
    store = Store(f"s3://{s3_server.new_bucket(behind, versioned=True)}/store")
    store.put("a", b"one")
    store.put("a", b"two")
    store.remove("a")
    assert not store.exists("a")
    assert store.create("a", b"three")
    assert not store.create("a", b"four")
    versions = behind.call_s3("list_object_versions", Bucket=_bucket(store))["Versions"]
    assert len(versions) == 3


def test_an_artifact_exists_by_its_manifest_and_of_two_that_commit_one_wins(store: Store) -> None:
    writers = [ArtifactWriter(store, TABLE) for _ in range(4)]
    for writer in writers:
        writer.add_table(table_of(curriculum_rows(5), SCHEMAS["curriculum"]))
    assert find(store, TABLE) is None
    refs = [commit(writer) for writer in writers]
    assert refs == [refs[0]] * 4
    assert find(store, TABLE) == refs[0]
    assert read_table(store, refs[0]).to_pylist() == curriculum_rows(5)
    assert verify(store, TABLE) == []


def test_a_damaged_artifact_is_set_aside_and_made_again(store: Store) -> None:
    made = make_table(store)
    store.put(f"{TABLE.path}/part-00000.parquet", b"half")
    assert find_or_set_aside(store, TABLE) is None
    assert sorted(store.sizes(TABLE.path)) == [
        "_damage.json",
        "_manifest.json.damaged",
        "part-00000.parquet.damaged",
    ]
    again = make_table(store)
    assert (again.digest, again.uri) == (made.digest, f"{made.uri}.2")


def test_a_model_is_fetched_once_verified_and_kept(store: Store, tmp_path: Path) -> None:
    ref = make_model(store, model_files(tmp_path / "model", SMALLEST_PART + 1))
    folder = model_folder(store, ref)
    for name in ("config.json", "model.safetensors"):
        assert (folder / name).read_bytes() == (tmp_path / "model" / name).read_bytes()
    assert folder == tmp_path / "cache" / ref.digest
    store.remove(f"{MODEL.path}/model.safetensors")
    assert model_folder(store, ref) == folder


def test_a_model_whose_object_was_changed_is_damaged(plain: Store, tmp_path: Path) -> None:
    ref = make_model(plain, model_files(tmp_path / "model", 5000))
    plain.put(f"{MODEL.path}/model.safetensors", bytes(5000))
    with pytest.raises(DamagedArtifact, match=r"model\.safetensors does not have the sha256"):
        model_folder(plain, ref)


def test_checkpoints_are_kept_and_a_damaged_one_is_passed_over(store: Store, tmp_path: Path) -> None:
    checkpoints = StoreCheckpoints(store, MODEL)
    folder = tmp_path / "state"
    for step in (5, 10, 15):
        model_files(folder, 3000, seed=step)
        checkpoints.save(step, folder)
    (name,) = [each for each in store.names(f"{MODEL.work}/checkpoints") if each.startswith("step-000015-")]
    store.put(f"{MODEL.work}/checkpoints/{name}/model.safetensors", bytes(3000))
    newest = checkpoints.newest()
    assert newest is not None
    assert newest[0] == 10


def test_of_many_that_want_a_lease_one_gets_it_and_its_successor_is_one(plain: Store) -> None:
    now = [1000.0]
    for number in (1, 2):
        gate = threading.Barrier(4)
        won: list[int] = []

        def take(gate: threading.Barrier = gate, won: list[int] = won) -> None:
            gate.wait()
            lease = acquire(plain, "lease", "someone", 60.0, lambda: now[0])
            if lease is not None:
                won.append(lease.number)

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert won == [number]
        now[0] += 60 + SKEW_SECONDS + 1


def test_the_manifest_in_the_bucket_is_for_people(plain: Store) -> None:
    make_table(plain)
    manifest = json.loads(plain.read(f"{TABLE.path}/{MANIFEST}"))
    assert manifest["files"][0]["name"] == "part-00000.parquet"
    assert Location(run="a", iteration=1, stage="score_and_filter", key="k").path in plain.uri_of(TABLE.path)
