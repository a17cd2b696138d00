"""What another run of the same store has made is copied, not made again; damage is not copied."""

from pathlib import Path

import pytest

from data.schemas import SCHEMAS
from infra.artifacts.adopt import copy_files, find_elsewhere, find_part_elsewhere
from infra.artifacts.artifact import FileRecord, Location, find
from infra.artifacts.damage import part_record_path
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
    assert copy_files(store, source, HERE, list(manifest.files))
    assert store.sha256(f"{HERE.path}/part-00000.parquet") == manifest.files[0].sha256
    assert find(store, HERE) is None, "without a manifest of its own it does not exist"


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
    found = find_elsewhere(store, HERE)
    assert found is not None
    assert not copy_files(store, THERE, HERE, list(found[1].files))
    assert not store.exists(f"{HERE.path}/part-00000.parquet")


def test_a_file_that_is_gone_meanwhile_is_no_error(store: Store) -> None:
    (record,) = _make(store, THERE)
    store.remove(f"{THERE.path}/part-00000.parquet")
    assert not copy_files(store, THERE, HERE, [record])


def test_a_finished_part_is_found_by_its_record(store: Store) -> None:
    (record,) = _make(store, THERE)
    assert find_part_elsewhere(store, HERE, 0) is None
    store.put(part_record_path(THERE, 0), record.model_dump_json().encode())
    assert find_part_elsewhere(store, HERE, 0) == (THERE, record)
    store.put(part_record_path(THERE, 1), b"no record")
    assert find_part_elsewhere(store, HERE, 1) is None
