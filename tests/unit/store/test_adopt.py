"""What another run of the same store has made is copied, not made again; damage is not copied."""

from pathlib import Path

import pytest

from data.schemas import SCHEMAS
from infra.artifacts.adopt import CopiedFile, find_elsewhere, find_part_elsewhere
from infra.artifacts.artifact import FileRecord, Location, find
from infra.artifacts.damage import set_aside
from infra.artifacts.parts import PartRecord, find_part
from infra.artifacts.writer import ArtifactWriter
from infra.store.store import Store
from infra.store.tables import table_of
from tests.support.artifact_samples import curriculum_rows

HERE = Location(run="here", iteration=1, stage="score_and_filter", key="k")
THERE = Location(run="there", iteration=1, stage="score_and_filter", key="k")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def _make(store: Store, location: Location) -> list[FileRecord]:
    writer = ArtifactWriter(store, location)
    record = writer.add_table(table_of(curriculum_rows(3), SCHEMAS["curriculum"]))
    writer.commit(
        kind="curriculum",
        stage_version=1,
        seed=0,
        inputs={},
        figures={"kept": 3},
        config={"run": location.run},
    )
    return [record]


def test_an_artifact_of_the_same_key_is_found_in_another_run(store: Store) -> None:
    assert find_elsewhere(store, HERE) is None
    _make(store, THERE)
    found = find_elsewhere(store, HERE)
    assert found is not None
    source, manifest = found
    assert (source, manifest.figures) == (THERE, {"kept": 3})
    writer = ArtifactWriter(store, HERE)
    assert writer.add_copies([CopiedFile(f"{source.path}/{file.name}", file) for file in manifest.files])
    assert find(store, HERE) is None, "without a manifest of its own it does not exist"
    ref = writer.commit(kind="curriculum", stage_version=1, seed=0, inputs={}, figures={}, config={})
    assert ref.digest == manifest.digest
    assert store.sha256(f"{HERE.path}/part-00000.parquet") == manifest.files[0].sha256


def test_another_key_another_iteration_and_the_run_itself_are_not_taken(store: Store) -> None:
    _make(store, THERE.model_copy(update={"key": "other"}))
    _make(store, THERE.model_copy(update={"iteration": 2}))
    _make(store, HERE)
    assert find_elsewhere(store, HERE) is None


def test_a_file_of_another_size_makes_the_other_run_pass_for_nothing(store: Store) -> None:
    _make(store, THERE)
    store.put(f"{THERE.path}/part-00000.parquet", b"short")
    assert find_elsewhere(store, HERE) is None


def test_a_file_with_another_sha256_is_not_copied(store: Store) -> None:
    (record,) = _make(store, THERE)
    store.put(f"{THERE.path}/part-00000.parquet", b"x" * record.bytes)
    assert find_elsewhere(store, HERE) is not None
    writer = ArtifactWriter(store, HERE)
    assert not writer.add_copies([CopiedFile(f"{THERE.path}/part-00000.parquet", record)])
    assert store.sizes("runs/here") == {}


def test_a_file_that_is_gone_meanwhile_is_no_error(store: Store) -> None:
    (record,) = _make(store, THERE)
    store.remove(f"{THERE.path}/part-00000.parquet")
    writer = ArtifactWriter(store, HERE)
    assert not writer.add_copies([CopiedFile(f"{THERE.path}/part-00000.parquet", record)])


def _make_part(store: Store, location: Location, part: int) -> PartRecord:
    writer = ArtifactWriter(store, location)
    record = writer.write_part(table_of(curriculum_rows(part + 1), SCHEMAS["curriculum"]), part)
    return writer.commit_part(record, part).record


def test_a_finished_part_is_found_by_its_record(store: Store) -> None:
    assert list(find_part_elsewhere(store, HERE, 0)) == []
    made = _make_part(store, THERE, 0)
    (copy,) = find_part_elsewhere(store, HERE, 0)
    assert copy.record == made.file
    writer = ArtifactWriter(store, HERE)
    record = writer.copy_part(copy, 0)
    assert record is not None
    assert find_part(store, HERE, 0) is None
    found = writer.commit_part(record, 0)
    assert store.sha256(found.path) == made.sha256
    store.put(f"{THERE.work}/parts/part-00001.json", b"no record")
    assert list(find_part_elsewhere(store, HERE, 1)) == []


def test_sound_parts_of_what_was_set_aside_are_taken_over(store: Store) -> None:
    writer = ArtifactWriter(store, HERE)
    for part in range(3):
        _make_part(store, HERE, part)
        found = find_part(store, HERE, part)
        assert found is not None
        writer.add_part(found)
    writer.commit(kind="curriculum", stage_version=1, seed=0, inputs={}, figures={}, config={})
    path = f"{HERE.path}/part-00001.parquet"
    content = store.read(path)
    store.put(path, content[:-8] + bytes([content[-8] ^ 1]) + content[-7:])
    set_aside(store, HERE)
    again = ArtifactWriter(store, HERE)
    assert again.location == HERE.next
    taken = [
        again.copy_part(copy, part) is not None
        for part in range(3)
        for copy in find_part_elsewhere(store, HERE.next, part)
    ]
    assert taken == [True, False, True]
