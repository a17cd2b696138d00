"""Writing an artifact: its files first, where nobody looks; then the claim that makes it exist."""

from __future__ import annotations

import logging
import socket
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa

from infra.artifacts.adopt import CopiedFile, copy_file
from infra.artifacts.artifact import (
    ArtifactRef,
    FileRecord,
    Location,
    Manifest,
    content_digest,
    newest_generation,
    part_name,
    sha256,
)
from infra.artifacts.claim import Claim, create_claim
from infra.artifacts.damage import find_or_set_aside
from infra.artifacts.parts import FoundPart, PartRecord, parts_folder, record_part
from infra.store.store import Progress, Store, StoreError, StoreUnavailable, shifted
from infra.store.tables import parquet_bytes

log = logging.getLogger("rzero.store")

WRITERS = "writers"

_PACKAGES = ("rzero", "prefect", "torch", "transformers", "pyarrow", "polars", "math-verify")


class DamagedPart(StoreError):
    """A finished part whose file is not what its record says."""


class ArtifactWriter:
    """Writes one artifact into a folder of its own. The artifact does not exist until `commit`.

    No other process ever writes to that folder, and no reader looks there.
    """

    def __init__(self, store: Store, location: Location) -> None:
        self.store = store
        self.location = newest_generation(store, location)[0]
        self.started_at = datetime.now(UTC)
        self.adopted_from: str | None = None
        self.part_seconds = 0.0
        self._writer = uuid.uuid4().hex
        self._files: dict[str, FileRecord] = {}
        self._sources: dict[str, str] = {}

    def add_table(self, table: pa.Table, side_table: str | None = None) -> FileRecord:
        """Write the main table, or a side table."""
        name = part_name(0) if side_table is None else f"{side_table}/{part_name(0)}"
        content = parquet_bytes(table)
        record = FileRecord(name=name, sha256=sha256(content), bytes=len(content), rows=table.num_rows)
        self.store.put(self._path(name), content)
        return self._add(record, self._path(name))

    def add_folder(self, folder: Path, progress: Progress | None = None) -> None:
        """Copy a local folder (a model directory) to the top of the artifact."""
        sources = sorted(path for path in folder.rglob("*") if path.is_file())
        total = sum(source.stat().st_size for source in sources)
        done = 0
        for source in sources:
            name = source.relative_to(folder).as_posix()
            written = self.store.put_file(self._path(name), source, shifted(progress, done, total))
            done += written.bytes
            self._add(FileRecord(name=name, sha256=written.sha256, bytes=written.bytes), self._path(name))

    def add_copies(self, files: Iterable[CopiedFile]) -> bool:
        """Copy files of other artifacts in; False, at the first, if one is not what its record says."""
        for file in files:
            if not copy_file(self.store, file, self._path(file.record.name)):
                return False
            self._add(file.record, self._path(file.record.name))
        return True

    def write_part(self, table: pa.Table, part: int) -> PartRecord:
        """Write one part of the main table; `commit_part` makes it exist."""
        content, source = parquet_bytes(table), self._part_source(part)
        self.store.put(f"{parts_folder(self.location)}/{source}", content)
        return PartRecord(
            name=part_name(part),
            sha256=sha256(content),
            bytes=len(content),
            rows=table.num_rows,
            source=source,
            seconds=0.0,
        )

    def copy_part(self, file: CopiedFile, part: int) -> PartRecord | None:
        """Copy a part of another artifact in; None if it is not what its record says."""
        source = self._part_source(part)
        if not copy_file(self.store, file, f"{parts_folder(self.location)}/{source}"):
            return None
        return PartRecord(**file.record.model_dump(), source=source, seconds=0.0)

    def commit_part(self, record: PartRecord, part: int) -> FoundPart:
        """Make a part exist unless another writer was first; the part that then exists."""
        seconds = round((datetime.now(UTC) - self.started_at).total_seconds(), 3)
        timed = record.model_copy(update={"seconds": seconds})
        found = record_part(self.store, self.location, timed, part)
        if found.record.source != record.source:
            self.store.remove(f"{parts_folder(self.location)}/{record.source}")
        return found

    def add_part(self, part: FoundPart) -> None:
        """Take in a finished part; DamagedPart if its file is not what its record says."""
        there = self.store.sha256(part.path)
        if there is None:
            raise StoreUnavailable(f"{self.store.uri_of(part.path)} was moved by another process just now")
        if there != part.record.sha256:
            raise DamagedPart(f"{self.store.uri_of(part.path)} does not have the sha256 of its record")
        self._add(part.record.file, part.path)
        self.part_seconds += part.record.seconds

    def _part_source(self, part: int) -> str:
        return f"{part_name(part).removesuffix('.parquet')}-{self._writer}.new"

    @property
    def _folder(self) -> str:
        return f"{self.location.work}/{WRITERS}/{self._writer}"

    def _path(self, name: str) -> str:
        # Not under its own name: no search for tables finds it.
        return f"{self._folder}/{name}.new"

    def _add(self, record: FileRecord, source: str) -> FileRecord:
        self._files[record.name], self._sources[record.name] = record, source
        return record

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
        """Make the artifact exist unless another writer was first; the artifact that then exists."""
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
        claim = Claim(manifest=manifest, sources=self._sources)
        ref = None
        while ref is None:
            location, _ = newest_generation(self.store, self.location)
            if create_claim(self.store, location, claim) and location != self.location:
                log.info("%s was set aside meanwhile", self.store.uri_of(self.location.path))
            ref = find_or_set_aside(self.store, location)
            if ref is None:
                self._check_sources()
        if ref.digest != manifest.digest:
            log.info("%s was finished by another process meanwhile; its content counts", ref.uri)
        self.clear()
        return ref

    def _check_sources(self) -> None:
        """StoreUnavailable if a file of this writer is gone: who took the work over has cleared it away."""
        for name, path in self._sources.items():
            if self.store.size(path) != self._files[name].bytes:
                raise StoreUnavailable(f"{self.store.uri_of(path)} was removed by a process that took over")

    def clear(self) -> None:
        """Remove what this writer wrote and nobody needs."""
        self.store.remove(self._folder)


def clear_writers(store: Store, location: Location) -> None:
    """Remove the files of all earlier writers; called with the lease in hand, so none of them commits."""
    # By name: a removal that comes late must not meet the files of a later writer.
    for name in store.names(f"{location.work}/{WRITERS}"):
        store.remove(f"{location.work}/{WRITERS}/{name}")


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
