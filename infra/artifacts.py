"""Artifacts: files under a key, and a manifest, written last, that makes them exist.

    <store>/runs/<run>/iteration=<k>/<stage>/<key>/_manifest.json

An artifact's main output (the parts of a table, or a model directory) lies at the top of that folder;
side tables lie in folders named after them. Without a manifest there is no artifact.
"""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.store import Store, StoreError
from infra.tables import parquet_bytes

MANIFEST = "_manifest.json"
FORMAT_VERSION = 1
_PACKAGES = ("rzero", "prefect", "torch", "transformers", "pyarrow", "polars", "math-verify")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArtifactRef(_Frozen):
    """What travels between tasks: where an artifact lies and what it is, never its content."""

    uri: str = Field(description="Folder of the artifact, or the file of a part.")
    digest: str = Field(description="sha256 of the content.")
    kind: str = Field(description="'model', 'part', or the name of the main table.")
    rows: int | None = Field(None, description="Rows of the main table.")
    bytes: int = Field(description="Bytes of all its files.")
    inputs: dict[str, str] = Field(default_factory=dict, description="Digests of its inputs, by name.")


class FileRecord(_Frozen):
    """One file of an artifact."""

    name: str
    sha256: str
    bytes: int
    rows: int | None = None


class Location(_Frozen):
    """Where an artifact lies; all of it is known before the artifact is made."""

    run: str
    iteration: int
    stage: str
    key: str

    @property
    def path(self) -> str:
        """The artifact's folder within the store."""
        return f"runs/{self.run}/iteration={self.iteration}/{self.stage}/{self.key}"


class Manifest(_Frozen):
    """What an artifact holds, how it was made, and from what."""

    format_version: int = FORMAT_VERSION
    stage: str
    stage_version: int
    key: str
    iteration: int
    seed: int
    kind: str
    digest: str
    rows: int | None
    bytes: int
    files: tuple[FileRecord, ...]
    inputs: dict[str, ArtifactRef]
    figures: dict[str, Any]
    config: dict[str, Any]
    versions: dict[str, str]
    host: str
    started_at: str
    finished_at: str
    seconds: float


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256(content: bytes) -> str:
    """Hexadecimal sha256."""
    return hashlib.sha256(content).hexdigest()


def artifact_key(stage: str, version: int, config: Any, seed: int, inputs: Mapping[str, str]) -> str:
    """The key: equal for equal work, so that nothing is made twice. `inputs` are digests by name."""
    parts = {"stage": stage, "version": version, "config": config, "seed": seed, "inputs": dict(inputs)}
    return sha256(canonical_json(parts).encode())


def content_digest(files: Sequence[FileRecord]) -> str:
    """sha256 over names, sizes and sha256 of the files, in the order of their names."""
    listing = [[file.name, file.bytes, file.sha256] for file in sorted(files, key=lambda file: file.name)]
    return sha256(canonical_json(listing).encode())


def read_manifest(store: Store, location: Location) -> Manifest | None:
    """The manifest; None where the artifact does not exist. StoreError where it cannot be read."""
    path = f"{location.path}/{MANIFEST}"
    if not store.exists(path):
        return None
    try:
        return Manifest.model_validate_json(store.read(path))
    except ValidationError as error:
        raise StoreError(f"{store.uri_of(path)} is not a manifest of this version: {error}") from None


def find(store: Store, location: Location) -> ArtifactRef | None:
    """The artifact at this location, its files of the right size; None where it does not exist."""
    manifest = read_manifest(store, location)
    if manifest is None:
        return None
    for file in manifest.files:
        size = store.size(f"{location.path}/{file.name}")
        if size != file.bytes:
            found = "missing" if size is None else f"{size} bytes long"
            raise StoreError(
                f"{store.uri_of(location.path)}/{file.name} is {found}, its manifest says {file.bytes} bytes; "
                "remove the artifact's folder to have it made again"
            )
    return ref_of(store, location, manifest)


def ref_of(store: Store, location: Location, manifest: Manifest) -> ArtifactRef:
    """The reference to an artifact with this manifest."""
    return ArtifactRef(
        uri=store.uri_of(location.path),
        digest=manifest.digest,
        kind=manifest.kind,
        rows=manifest.rows,
        bytes=manifest.bytes,
        inputs={name: ref.digest for name, ref in manifest.inputs.items()},
    )


class ArtifactWriter:
    """Writes the files of one artifact, then its manifest. Nothing exists until `commit`."""

    def __init__(self, store: Store, location: Location) -> None:
        self.store = store
        self.location = location
        self.started_at = datetime.now(UTC)
        self._files: dict[str, FileRecord] = {}

    def add_table(self, table: pa.Table, side_table: str | None = None, part: int = 0) -> FileRecord:
        """Write one part of the main table, or of a side table."""
        name = part_name(part) if side_table is None else f"{side_table}/{part_name(part)}"
        content = parquet_bytes(table)
        self.store.put(f"{self.location.path}/{name}", content)
        record = FileRecord(name=name, sha256=sha256(content), bytes=len(content), rows=table.num_rows)
        self.add_record(record)
        return record

    def add_record(self, record: FileRecord) -> None:
        """Take in a file that is already in the artifact's folder."""
        self._files[record.name] = record

    def add_folder(self, folder: Path) -> None:
        """Copy a local folder (a model directory) to the top of the artifact."""
        for source in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = source.relative_to(folder).as_posix()
            with source.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            self.store.put_file(f"{self.location.path}/{name}", source)
            self.add_record(FileRecord(name=name, sha256=digest, bytes=source.stat().st_size))

    def commit(
        self,
        *,
        kind: str,
        stage_version: int,
        seed: int,
        inputs: Mapping[str, ArtifactRef],
        figures: Mapping[str, Any],
        config: Mapping[str, Any],
    ) -> ArtifactRef:
        """Write the manifest if there is none yet; the reference to the artifact that then exists."""
        files = tuple(self._files[name] for name in sorted(self._files))
        main = [file.rows for file in files if "/" not in file.name and file.rows is not None]
        finished_at = datetime.now(UTC)
        manifest = Manifest(
            stage=self.location.stage,
            stage_version=stage_version,
            key=self.location.key,
            iteration=self.location.iteration,
            seed=seed,
            kind=kind,
            digest=content_digest(files),
            rows=sum(main) if main else None,
            bytes=sum(file.bytes for file in files),
            files=files,
            inputs=dict(inputs),
            figures=dict(figures),
            config=dict(config),
            versions=_versions(),
            host=socket.gethostname(),
            started_at=self.started_at.isoformat(timespec="seconds"),
            finished_at=finished_at.isoformat(timespec="seconds"),
            seconds=round((finished_at - self.started_at).total_seconds(), 3),
        )
        content = json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
        if not self.store.create(f"{self.location.path}/{MANIFEST}", content.encode()):
            existing = find(self.store, self.location)
            if existing is None or existing.digest != manifest.digest:
                raise StoreError(
                    f"{self.store.uri_of(self.location.path)} was made by another process meanwhile, "
                    "with other content"
                )
            return existing
        return ref_of(self.store, self.location, manifest)


def part_name(part: int) -> str:
    """File name of a part of a table."""
    return f"part-{part:05d}.parquet"


def table_files(manifest: Manifest, side_table: str | None = None) -> list[FileRecord]:
    """The files of the main table or of a side table, in order."""
    prefix = "" if side_table is None else f"{side_table}/"
    return [
        file
        for file in manifest.files
        if file.name.endswith(".parquet") and file.name == prefix + file.name.rpartition("/")[2]
    ]


def table_folders(manifest: Manifest) -> list[str]:
    """Folders of the artifact that hold a table: "" for the main one, "/rollouts" and the like."""
    tables = (file.name for file in manifest.files if file.name.endswith(".parquet"))
    return sorted({f"/{name.rpartition('/')[0]}".rstrip("/") for name in tables})


def read_table(store: Store, ref: ArtifactRef, side_table: str | None = None) -> pa.Table:
    """All rows of the main table or a side table, their sizes verified; StoreError where one is amiss."""
    path = store.path_of(ref.uri)
    manifest = Manifest.model_validate_json(store.read(f"{path}/{MANIFEST}"))
    files = table_files(manifest, side_table)
    if not files:
        raise StoreError(f"{ref.uri} has no table {side_table or manifest.kind!r}")
    tables = []
    for file in files:
        content = store.read(f"{path}/{file.name}")
        if len(content) != file.bytes:
            raise StoreError(
                f"{ref.uri}/{file.name} is {len(content)} bytes long, its manifest says {file.bytes}"
            )
        tables.append(pq.read_table(pa.BufferReader(content)))
    return pa.concat_tables(tables)


def verify(store: Store, location: Location) -> list[str]:
    """Names of the files whose sha256 is not the manifest's; [] where all is well."""
    manifest = read_manifest(store, location)
    if manifest is None:
        raise StoreError(f"there is no artifact at {store.uri_of(location.path)}")
    return [
        file.name
        for file in manifest.files
        if sha256(store.read(f"{location.path}/{file.name}")) != file.sha256
    ]


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
