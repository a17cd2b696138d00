"""Writing an artifact: its files first, then the manifest that makes it exist."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa

from infra.artifacts.artifact import (
    MANIFEST,
    ArtifactRef,
    FileRecord,
    Location,
    Manifest,
    content_digest,
    find,
    part_name,
    ref_of,
    sha256,
)
from infra.store.store import FileDigest, Progress, Store, StoreError, file_sha256, shifted
from infra.store.tables import parquet_bytes

_PACKAGES = ("rzero", "prefect", "torch", "transformers", "pyarrow", "polars", "math-verify")


class ArtifactWriter:
    """Writes the files of one artifact, then its manifest. The artifact does not exist until `commit`."""

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
        """List a file that is already in the artifact's folder."""
        self._files[record.name] = record

    def add_folder(self, folder: Path, progress: Progress | None = None) -> None:
        """Copy a local folder (a model directory) to the top of the artifact."""
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
        """Whether another process has committed meanwhile: a finished artifact is never overwritten."""
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
        """Write the manifest unless there is one; a reference to the artifact that then exists."""
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


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
