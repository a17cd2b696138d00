"""Keys, manifests, and what makes an artifact exist."""

import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.schemas import SCHEMAS, description
from infra.artifacts.artifact import (
    ArtifactRef,
    FileRecord,
    Location,
    artifact_key,
    canonical_json,
    find,
    read_manifest,
    read_table,
)
from infra.artifacts.verify import verify
from infra.artifacts.writer import ArtifactWriter
from infra.store.store import Store, StoreError
from infra.store.tables import parquet_bytes, table_of
from tests.support.artifact_samples import curriculum_rows

ROWS = curriculum_rows(5)


def _location() -> Location:
    return Location(run="a", iteration=1, stage="score_and_filter", key="k")


def _commit(writer: ArtifactWriter) -> ArtifactRef:
    return writer.commit(kind="curriculum", stage_version=1, seed=3, inputs={}, figures={"n": 5}, config={})


def test_nothing_exists_before_the_manifest(store: Store) -> None:
    writer = ArtifactWriter(store, _location())
    writer.add_table(table_of(ROWS, SCHEMAS["curriculum"]))
    assert find(store, _location()) is None
    ref = _commit(writer)
    assert find(store, _location()) == ref
    assert ref.rows == 5
    assert read_table(store, ref).to_pylist() == ROWS


def test_the_manifest_lists_every_file_with_its_digest(store: Store) -> None:
    writer = ArtifactWriter(store, _location())
    writer.add_table(table_of(ROWS, SCHEMAS["curriculum"]))
    writer.add_table(table_of(ROWS[:2], SCHEMAS["curriculum"]), "side")
    _commit(writer)
    manifest = read_manifest(store, _location())
    assert manifest is not None
    assert [file.name for file in manifest.files] == ["part-00000.parquet", "side/part-00000.parquet"]
    assert verify(store, _location()) == []


def test_of_two_that_commit_the_same_both_get_the_one_artifact(store: Store) -> None:
    refs = []
    for writer in (ArtifactWriter(store, _location()), ArtifactWriter(store, _location())):
        writer.add_table(table_of(ROWS, SCHEMAS["curriculum"]))
        refs.append(_commit(writer))
    assert refs[0] == refs[1]


def test_of_two_that_commit_different_content_both_get_what_the_first_made(store: Store) -> None:
    refs = []
    for rows in (ROWS, ROWS[:2]):
        writer = ArtifactWriter(store, _location())
        writer.add_table(table_of(rows, SCHEMAS["curriculum"]))
        refs.append(_commit(writer))
    assert refs[0] == refs[1]
    assert read_table(store, refs[1]).to_pylist() == ROWS
    assert verify(store, _location()) == []


def test_what_a_documented_path_reads_is_the_winners_alone(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    writers = [ArtifactWriter(store, _location()) for _ in range(3)]
    for rows, writer in enumerate(writers, 1):
        writer.add_table(table_of(ROWS[:rows], SCHEMAS["curriculum"]))
        writer.add_table(table_of(ROWS[:rows], SCHEMAS["curriculum"]), "side")
    assert not list(tmp_path.rglob("*.parquet"))
    _commit(writers[1])
    assert pl.scan_parquet(f"{tmp_path}/runs/**/part-*.parquet").collect().height == 4
    _commit(writers[0])
    assert pl.scan_parquet(f"{tmp_path}/runs/**/part-*.parquet").collect().height == 4


def test_a_truncated_file_is_named(store: Store) -> None:
    writer = ArtifactWriter(store, _location())
    writer.add_table(table_of(ROWS, SCHEMAS["curriculum"]))
    ref = _commit(writer)
    store.put(f"{_location().path}/part-00000.parquet", b"half")
    with pytest.raises(StoreError, match=r"part-00000\.parquet is 4 bytes"):
        find(store, _location())
    with pytest.raises(StoreError, match="4 bytes"):
        read_table(store, ref)
    (line,) = verify(store, _location())
    assert line.startswith(f"{ref.uri}/part-00000.parquet is 4 bytes long, its manifest says")


def test_a_manifest_that_is_no_manifest_is_named(store: Store) -> None:
    store.put(f"{_location().path}/_manifest.json", b'{"half": ')
    with pytest.raises(StoreError, match="is not a manifest"):
        find(store, _location())


def test_equal_rows_give_equal_bytes() -> None:
    first = parquet_bytes(table_of(ROWS, SCHEMAS["curriculum"]))
    assert first == parquet_bytes(
        table_of([dict(reversed(row.items())) for row in ROWS], SCHEMAS["curriculum"])
    )


def test_a_null_where_none_is_allowed_is_refused() -> None:
    with pytest.raises(ValueError, match="'question' has 1 nulls"):
        parquet_bytes(table_of([ROWS[0] | {"question": None}], SCHEMAS["curriculum"]))


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown columns: \['colour'\]"):
        table_of([{"colour": 3}], SCHEMAS["curriculum"])


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_column_is_described_and_survives_parquet(name: str, tmp_path: Path) -> None:
    schema = SCHEMAS[name]
    assert all(description(schema, column) for column in schema.names)
    path = tmp_path / "t.parquet"
    path.write_bytes(parquet_bytes(schema.empty_table()))
    assert pl.scan_parquet(path).collect_schema().names() == schema.names


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=5))
def test_the_order_of_settings_does_not_change_a_key(config: dict[str, object]) -> None:
    turned = dict(reversed(config.items()))
    assert canonical_json(config) == canonical_json(turned)
    assert artifact_key("s", 1, config, 0, {}) == artifact_key("s", 1, turned, 0, {})


@pytest.mark.parametrize(
    "other",
    [
        ("t", 1, {"a": 1}, 0, {}),
        ("s", 2, {"a": 1}, 0, {}),
        ("s", 1, {"a": 2}, 0, {}),
        ("s", 1, {"a": 1}, 1, {}),
        ("s", 1, {"a": 1}, 0, {"solver": "d"}),
    ],
)
def test_everything_that_a_stage_is_made_of_changes_its_key(
    other: tuple[str, int, object, int, dict[str, str]],
) -> None:
    assert artifact_key("s", 1, {"a": 1}, 0, {}) != artifact_key(*other)


def test_a_file_that_no_manifest_lists_is_named(store: Store) -> None:
    writer = ArtifactWriter(store, _location())
    writer.add_table(table_of(ROWS, SCHEMAS["curriculum"]))
    ref = _commit(writer)
    store.put(f"{_location().path}/part-00001.parquet", b"foreign")
    assert verify(store, _location()) == [f"{ref.uri}/part-00001.parquet is in no manifest"]


@pytest.mark.parametrize("written", [0, 2, -1, True])
def test_a_manifest_of_another_format_is_refused(store: Store, written: int) -> None:
    writer = ArtifactWriter(store, _location())
    writer.add_table(table_of(ROWS, SCHEMAS["curriculum"]))
    _commit(writer)
    path = f"{_location().path}/_manifest.json"
    store.put(path, json.dumps(json.loads(store.read(path)) | {"format_version": written}).encode())
    with pytest.raises(StoreError, match="format"):
        find(store, _location())


@pytest.mark.parametrize(
    "name",
    ["../part-00000.parquet", "/etc/passwd", "a/../../b", "a//b", "..", "", "a\\b", "a\nb", " a", "a\x00"],
)
def test_a_file_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a file"):
        FileRecord(name=name, sha256="", bytes=0)
