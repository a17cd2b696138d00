"""Damage is named, set aside, and made again; nothing is deleted and no sound work is lost."""

import json
import logging
import pickle
from pathlib import Path

import pytest

from data.schemas import SCHEMAS
from infra.artifacts.artifact import MANIFEST, DamagedArtifact, Location, find, find_manifest, read_table
from infra.artifacts.claim import complete
from infra.artifacts.damage import find_or_set_aside, set_aside
from infra.artifacts.parts import FoundPart, find_part
from infra.artifacts.verify import verify
from infra.artifacts.writer import ArtifactWriter
from infra.models.folder import model_folder
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


def _add_part(store: Store, part: int, rows: int, location: Location = TABLE) -> FoundPart:
    writer = ArtifactWriter(store, location)
    record = writer.write_part(table_of(curriculum_rows(rows), SCHEMAS["curriculum"]), part)
    return writer.commit_part(record, part)


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
    assert f"set aside at {made.uri}" in caplog.text
    assert find(store, TABLE) is None
    aside = store.sizes(TABLE.path)
    assert sorted(aside) == ["_damage.json", "_manifest.json.damaged", "part-00000.parquet.damaged"]
    assert store.read(f"{PART}.damaged") == b"half"
    note = json.loads(store.read(f"{TABLE.path}/_damage.json"))
    assert note["files"] == [MANIFEST, "part-00000.parquet"]
    again = make_table(store)
    assert (again.digest, again.uri) == (made.digest, f"{made.uri}.2")
    assert find_or_set_aside(store, TABLE) == again


def test_what_is_made_again_never_lies_where_the_damaged_one_lay(store: Store) -> None:
    location = TABLE
    for generation in (1, 2, 3):
        assert make_table(store).uri == store.uri_of(location.path)
        store.put(f"{location.path}/part-00000.parquet", b"half")
        assert find_or_set_aside(store, TABLE) is None
        assert location.generation == generation
        location = location.next


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
    assert verify(store, TABLE) == [f"{ref.uri}/part-00000.parquet does not have the sha256 of its manifest"]
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
    assert model_folder(store, make_model(store, tmp_path / "model")).name == "m.2"


def test_a_model_with_a_file_that_its_manifest_does_not_list_is_not_handed_on(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    ref = make_model(store, model_files(tmp_path / "model", 3000))
    store.put(f"{MODEL.path}/model-00002.safetensors", b"foreign")
    with pytest.raises(StoreError, match=r"holds model-00002\.safetensors, which its manifest does not list"):
        model_folder(store, ref)
    store.remove(f"{MODEL.path}/model-00002.safetensors")
    assert model_folder(store, ref).name == "m"


def test_damage_travels_between_processes_with_its_path() -> None:
    damage = pickle.loads(pickle.dumps(DamagedArtifact("runs/a", "x is missing")))
    assert (damage.path, str(damage)) == ("runs/a", "x is missing")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("{source}", b"half", "lacks its file of"),
        ("{source}", None, "lacks its file of"),
        ("part-00001.json", b'{"half', "cannot be read"),
    ],
)
def test_a_damaged_part_is_named_and_counts_as_unfinished(
    store: Store, caplog: pytest.LogCaptureFixture, name: str, content: bytes | None, reason: str
) -> None:
    parts = [_add_part(store, part, rows=2) for part in range(2)]
    path = f"{TABLE.work}/parts/{name.format(source=parts[1].record.source)}"
    store.remove(path) if content is None else store.put(path, content)
    assert find_part(store, TABLE, 1) is None
    assert f"part-00001.json {reason}" in caplog.text
    assert find_part(store, TABLE, 0) == parts[0]
    again = _add_part(store, 1, rows=2)
    assert find_part(store, TABLE, 1) == again
    assert again.path != parts[1].path


def test_of_two_that_write_a_part_both_get_the_first(store: Store) -> None:
    first, second = _add_part(store, 0, rows=2), _add_part(store, 0, rows=3)
    assert first == second
    assert sorted(store.sizes(f"{TABLE.work}/parts")) == sorted([first.record.source, "part-00000.json"])


def test_who_comes_late_to_set_aside_leaves_alone_what_was_made_since(store: Store) -> None:
    make_table(store)
    store.put(PART, b"half")

    def the_other_one() -> None:
        set_aside(store, TABLE)
        make_table(store, rows=3)

    late = InterruptedStore(store.uri)
    late.before["create"] = the_other_one
    set_aside(late, TABLE)
    found = find_manifest(store, TABLE)
    assert found is not None
    assert found.manifest.rows == 3
    assert verify(store, TABLE) == []


def test_nothing_of_a_finished_artifact_is_overwritten_by_who_finishes_later(
    store: Store, tmp_path: Path
) -> None:
    late = ArtifactWriter(store, TABLE)
    made = make_table(store)
    late.add_table(table_of(curriculum_rows(2), SCHEMAS["curriculum"]))
    late.add_folder(model_files(tmp_path / "model", 30))
    assert commit(late) == made
    assert verify(store, TABLE) == []
    assert store.get(f"{TABLE.path}/model.safetensors") is None
    assert sorted(store.sizes(TABLE.work)) == ["claim.json"], "the loser leaves nothing"


def test_what_a_killed_writer_has_claimed_is_finished_by_whoever_comes(store: Store) -> None:
    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    dying = InterruptedStore(store.uri)
    writer = ArtifactWriter(dying, TABLE)
    writer.add_table(table_of(curriculum_rows(4), SCHEMAS["curriculum"]))
    dying.before["move"] = kill
    with pytest.raises(Killed):
        commit(writer)
    assert find(store, TABLE) is None
    ref = find_or_set_aside(store, TABLE)
    assert ref is not None
    assert ref.rows == 4
    assert verify(store, TABLE) == []


def test_a_claim_whose_files_are_gone_is_set_aside_and_its_successor_loses_nothing(store: Store) -> None:
    dead = ArtifactWriter(store, TABLE)
    dead.add_table(table_of(curriculum_rows(4), SCHEMAS["curriculum"]))
    living = ArtifactWriter(store, TABLE)
    living.add_table(table_of(curriculum_rows(3), SCHEMAS["curriculum"]))

    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    dying = InterruptedStore(store.uri)
    dead.store = dying
    dying.before["move"] = kill
    with pytest.raises(Killed):
        commit(dead)
    dead.clear()
    ref = commit(living)
    assert (ref.rows, ref.uri) == (3, store.uri_of(TABLE.next.path))
    assert verify(store, TABLE) == []
    assert complete(store, TABLE.next) == ref
