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
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.store.store import FileDigest, Progress, Store, StoreError, file_sha256, shifted
from infra.store.tables import parquet_bytes, parquet_table

MANIFEST = "_manifest.json"
PARTS = "_parts"
FORMAT_VERSION = 1
_PACKAGES = ("rzero", "prefect", "torch", "transformers", "pyarrow", "polars", "math-verify")


class DamagedArtifact(StoreError):
    """An artifact that has a manifest but is not what it says; `path` is its folder within the store.

    `infra.artifacts.damage.set_aside` takes it out of the way, so that it is made again.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path

    def __reduce__(self) -> tuple[type[DamagedArtifact], tuple[str, str]]:
        """How it travels between processes."""
        return type(self), (self.path, str(self))


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
    seconds: float | None = Field(
        default=None, description="Of a part in its own record: how long it took to make."
    )


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
    adopted_from: str | None = Field(
        None, description="The run that made it, where it was copied from another run of the same store."
    )
    started_at: str
    finished_at: str
    seconds: float = Field(description="How long it took to make, its parts included.")


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
    """The manifest; None where the artifact does not exist.

    DamagedArtifact where it is no manifest, StoreError where a newer version wrote it.
    """
    content = store.get(f"{location.path}/{MANIFEST}")
    return None if content is None else parse_manifest(store, location.path, content)


def parse_manifest(store: Store, path: str, content: bytes) -> Manifest:
    """The manifest of the artifact in the folder `path`, from its bytes; errors as of `read_manifest`."""
    uri = store.uri_of(f"{path}/{MANIFEST}")
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        if (written := _format_version(content)) > FORMAT_VERSION:
            raise StoreError(
                f"{uri} has format {written}, this version of rzero reads {FORMAT_VERSION}; update rzero"
            ) from None
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "its JSON"
        raise DamagedArtifact(
            path, f"{uri} is not a manifest of this version: {where}: {first['msg']}"
        ) from None
    if manifest.digest != content_digest(manifest.files):
        raise DamagedArtifact(path, f"{uri} was changed: its digest is not that of the files it lists")
    return manifest


def _format_version(content: bytes) -> int:
    try:
        found = json.loads(content).get("format_version")
    except (ValueError, AttributeError):
        return 0
    return found if isinstance(found, int) else 0


def find(store: Store, location: Location) -> ArtifactRef | None:
    """The artifact at this location, its files of the right size; None where it does not exist.

    DamagedArtifact where its manifest or a file is not whole.
    """
    manifest = find_manifest(store, location)
    return None if manifest is None else ref_of(store, location, manifest)


def find_manifest(store: Store, location: Location) -> Manifest | None:
    """The manifest of the artifact at this location; None and DamagedArtifact as of `find`."""
    manifest = read_manifest(store, location)
    if manifest is not None:
        sizes = store.sizes(location.path)
        for file in manifest.files:
            check_size(store, location.path, file, sizes.get(file.name))
    return manifest


def check_size(store: Store, path: str, file: FileRecord, size: int | None) -> None:
    """DamagedArtifact where a file of the artifact in the folder `path` is missing or has another size."""
    if size != file.bytes:
        found = "missing" if size is None else f"{size} bytes long"
        raise DamagedArtifact(
            path, f"{store.uri_of(path)}/{file.name} is {found}, its manifest says {file.bytes} bytes"
        )


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
        self.adopted_from: str | None = None
        self.part_seconds = 0.0
        self._files: dict[str, FileRecord] = {}

    def add_table(self, table: pa.Table, side_table: str | None = None, part: int = 0) -> FileRecord:
        """Write one part of the main table, or of a side table."""
        name = part_name(part) if side_table is None else f"{side_table}/{part_name(part)}"
        content = parquet_bytes(table)
        if not self._is_made():
            self.store.put(f"{self.location.path}/{name}", content)
        record = FileRecord(name=name, sha256=sha256(content), bytes=len(content), rows=table.num_rows)
        self.add_record(record)
        return record

    def add_record(self, record: FileRecord) -> None:
        """Take in a file that is already in the artifact's folder."""
        self._files[record.name] = record

    def add_folder(self, folder: Path, progress: Progress | None = None) -> None:
        """Copy a local folder (a model directory) to the top of the artifact; progress counts its bytes."""
        sources = sorted(path for path in folder.rglob("*") if path.is_file())
        total = sum(source.stat().st_size for source in sources)
        done = 0
        for source in sources:
            name = source.relative_to(folder).as_posix()
            if self._is_made():
                written = FileDigest(file_sha256(source), source.stat().st_size)
            else:
                each = shifted(progress, done, total)
                written = self.store.put_file(f"{self.location.path}/{name}", source, each)
            done += written.bytes
            self.add_record(FileRecord(name=name, sha256=written.sha256, bytes=written.bytes))

    def _is_made(self) -> bool:
        """Whether another process has committed meanwhile: nothing of a finished artifact is overwritten."""
        return self.store.exists(f"{self.location.path}/{MANIFEST}")

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
            adopted_from=self.adopted_from,
            started_at=self.started_at.isoformat(timespec="seconds"),
            finished_at=finished_at.isoformat(timespec="seconds"),
            seconds=round((finished_at - self.started_at).total_seconds() + self.part_seconds, 3),
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
    """All rows of the main table or a side table, verified; DamagedArtifact where a file is amiss."""
    path = store.path_of(ref.uri)
    manifest = manifest_of(store, ref)
    files = table_files(manifest, side_table)
    if not files:
        raise StoreError(f"{ref.uri} has no table {side_table or manifest.kind!r}")
    tables = []
    for file in files:
        content = store.get(f"{path}/{file.name}")
        check_size(store, path, file, None if content is None else len(content))
        if content is None or sha256(content) != file.sha256:
            raise DamagedArtifact(path, f"{ref.uri}/{file.name} does not have the sha256 of its manifest")
        tables.append(parquet_table(content))
    return pa.concat_tables(tables)


def manifest_of(store: Store, ref: ArtifactRef) -> Manifest:
    """The manifest of the artifact that is referred to; DamagedArtifact where it is not that one."""
    path = store.path_of(ref.uri)
    manifest = parse_manifest(store, path, store.read(f"{path}/{MANIFEST}"))
    if manifest.digest != ref.digest:
        raise DamagedArtifact(path, f"{ref.uri} is not what it was: another content was made there")
    return manifest


def verify(store: Store, location: Location) -> list[str]:
    """Names of the files whose sha256 is not the manifest's; [] where all is well."""
    manifest = read_manifest(store, location)
    if manifest is None:
        raise StoreError(f"there is no artifact at {store.uri_of(location.path)}")
    return [
        file.name for file in manifest.files if store.sha256(f"{location.path}/{file.name}") != file.sha256
    ]


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
