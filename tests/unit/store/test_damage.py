"""Damage is named, set aside, and made again; nothing is deleted and no sound work is lost."""

import json
import logging
import pickle
from pathlib import Path

import pytest

from data.schemas import SCHEMAS
from infra.artifacts.artifact import MANIFEST, DamagedArtifact, find, read_manifest, read_table, verify
from infra.artifacts.damage import find_or_set_aside, find_part_record, part_record_path, set_aside
from infra.artifacts.models import model_folder
from infra.artifacts.writer import ArtifactWriter
from infra.store.store import Store, StoreError
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
from tests.support.stores import InterruptedStore

PART = f"{TABLE.path}/part-00000.parquet"


def _add_part(store: Store, part: int, rows: int) -> ArtifactWriter:
    writer = ArtifactWriter(store, TABLE)
    record = writer.add_table(table_of(curriculum_rows(rows), SCHEMAS["curriculum"]), part=part)
    store.create(part_record_path(TABLE, part), record.model_dump_json().encode())
    return writer


def _same_size_other_content(store: Store, path: str) -> None:
    content = store.read(path)
    store.put(path, content[:-8] + bytes([content[-8] ^ 1]) + content[-7:])


def test_a_damaged_artifact_is_set_aside_with_all_its_files_and_made_again(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    made = make_table(store)
    store.put(PART, b"half")
    with caplog.at_level(logging.WARNING, "rzero.store"):
        assert find_or_set_aside(store, TABLE) is None
    assert "part-00000.parquet is 4 bytes long" in caplog.text
    assert "k.damaged-1" in caplog.text
    assert find(store, TABLE) is None
    aside = store.sizes(f"{TABLE.path}.damaged-1")
    assert sorted(aside) == ["_damage.json", "_manifest.json.damaged", "part-00000.parquet.damaged"]
    assert store.read(f"{TABLE.path}.damaged-1/part-00000.parquet.damaged") == b"half"
    note = json.loads(store.read(f"{TABLE.path}.damaged-1/_damage.json"))
    assert note["files"] == [MANIFEST, "part-00000.parquet"]
    assert make_table(store) == made
    assert find_or_set_aside(store, TABLE) == made


def test_each_damage_gets_a_number_of_its_own(store: Store) -> None:
    for number in (1, 2, 3):
        make_table(store)
        store.put(PART, b"half")
        assert set_aside(store, TABLE) == store.uri_of(f"{TABLE.path}.damaged-{number}")


def test_a_missing_file_is_damage(store: Store) -> None:
    make_table(store)
    store.remove(PART)
    with pytest.raises(DamagedArtifact, match=r"part-00000\.parquet is missing"):
        find(store, TABLE)


@pytest.mark.parametrize("content", [b"", b'{"half": ', b"[]", b"null", b"\xff\xfe"])
def test_a_manifest_that_cannot_be_read_is_damage(store: Store, content: bytes) -> None:
    make_table(store)
    store.put(f"{TABLE.path}/{MANIFEST}", content)
    with pytest.raises(DamagedArtifact, match="is not a manifest of this version") as damage:
        find(store, TABLE)
    assert "\n" not in str(damage.value)
    assert find_or_set_aside(store, TABLE) is None
    assert make_table(store).rows == 5


def test_a_manifest_that_was_edited_is_damage(store: Store) -> None:
    make_table(store)
    manifest = json.loads(store.read(f"{TABLE.path}/{MANIFEST}"))
    manifest["files"][0]["bytes"] += 1
    store.put(f"{TABLE.path}/{MANIFEST}", json.dumps(manifest).encode())
    with pytest.raises(DamagedArtifact, match="its digest is not that of the files"):
        find(store, TABLE)


def test_a_manifest_of_a_newer_version_is_no_damage(store: Store) -> None:
    make_table(store)
    manifest = json.loads(store.read(f"{TABLE.path}/{MANIFEST}")) | {"format_version": 99, "colour": "red"}
    store.put(f"{TABLE.path}/{MANIFEST}", json.dumps(manifest).encode())
    with pytest.raises(StoreError, match=r"format 99.*update rzero") as refused:
        find_or_set_aside(store, TABLE)
    assert not isinstance(refused.value, DamagedArtifact)


def test_a_changed_byte_is_found_when_the_table_is_read(store: Store) -> None:
    ref = make_table(store)
    _same_size_other_content(store, PART)
    assert find(store, TABLE) == ref
    assert verify(store, TABLE) == ["part-00000.parquet"]
    with pytest.raises(DamagedArtifact, match=r"part-00000\.parquet does not have the sha256") as damage:
        read_table(store, ref)
    assert damage.value.path == TABLE.path
    set_aside(store, damage.value.path)
    assert find(store, TABLE) is None


def test_a_changed_byte_is_found_when_the_model_is_asked_for(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    ref = make_model(store, model_files(tmp_path / "model", 3000))
    _same_size_other_content(store, f"{MODEL.path}/model.safetensors")
    with pytest.raises(DamagedArtifact, match=r"model\.safetensors does not have the sha256"):
        model_folder(store, ref)
    set_aside(store, MODEL)
    assert model_folder(store, make_model(store, tmp_path / "model")).name == "m"


def test_damage_travels_between_processes_with_its_path() -> None:
    damage = pickle.loads(pickle.dumps(DamagedArtifact("runs/a", "x is missing")))
    assert (damage.path, str(damage)) == ("runs/a", "x is missing")


def test_sound_parts_stay_where_they_are(store: Store) -> None:
    writer = None
    for part in range(3):
        writer = _add_part(store, part, rows=part + 1)
    assert writer is not None
    for part in range(3):
        record = find_part_record(store, TABLE, part)
        assert record is not None
        writer.add_record(record)
    commit(writer)
    _same_size_other_content(store, f"{TABLE.path}/part-00001.parquet")
    set_aside(store, TABLE)
    assert find(store, TABLE) is None
    assert [find_part_record(store, TABLE, part) is not None for part in range(3)] == [True, False, True]
    aside = sorted(store.sizes(f"{TABLE.path}.damaged-1"))
    assert aside == [
        "_damage.json",
        "_manifest.json.damaged",
        "_parts/part-00001.json.damaged",
        "part-00001.parquet.damaged",
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("part-00001.parquet", b"half", "is 4 bytes long"),
        ("part-00001.parquet", None, "is missing"),
        ("_parts/part-00001.json", b'{"half', "has no readable record"),
    ],
)
def test_a_damaged_part_is_named_set_aside_and_counts_as_unfinished(
    store: Store, caplog: pytest.LogCaptureFixture, name: str, content: bytes | None, reason: str
) -> None:
    for part in range(2):
        _add_part(store, part, rows=2)
    if content is None:
        store.remove(f"{TABLE.path}/{name}")
    else:
        store.put(f"{TABLE.path}/{name}", content)
    assert find_part_record(store, TABLE, 1) is None
    assert f"part-00001.parquet {reason}" in caplog.text
    assert find_part_record(store, TABLE, 0) is not None
    assert store.get(part_record_path(TABLE, 1)) is None
    _add_part(store, 1, rows=2)
    assert find_part_record(store, TABLE, 1) is not None


def test_who_comes_late_to_set_aside_leaves_alone_what_was_made_since(store: Store) -> None:
    make_table(store)
    store.put(PART, b"half")

    def the_other_one() -> None:
        set_aside(store, TABLE)
        make_table(store, rows=3)

    late = InterruptedStore(store.uri)
    late.before["create"] = the_other_one
    set_aside(late, TABLE)
    manifest = read_manifest(store, TABLE)
    assert manifest is not None
    assert manifest.rows == 3
    assert verify(store, TABLE) == []


def test_nothing_of_a_finished_artifact_is_overwritten_by_who_finishes_later(
    store: Store, tmp_path: Path
) -> None:
    late = ArtifactWriter(store, TABLE)
    make_table(store)
    late.add_table(table_of(curriculum_rows(2), SCHEMAS["curriculum"]))
    late.add_folder(model_files(tmp_path / "model", 30))
    with pytest.raises(StoreError, match="made by another process meanwhile, with other content"):
        commit(late)
    assert verify(store, TABLE) == []
    assert store.get(f"{TABLE.path}/model.safetensors") is None
