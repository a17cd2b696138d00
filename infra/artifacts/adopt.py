"""Work that another run of the same store has already done: same key, same artifact.

A run's artifacts lie in its own folder, so a run can be read, copied and removed as a whole. If another run
has an artifact of the same key, its verified files are copied instead of made again: the variants of an
experiment share the base model and every stage until they diverge.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from infra.artifacts.artifact import DamagedArtifact, FileRecord, Location, Manifest, find_manifest
from infra.artifacts.damage import parse_record, part_record_path
from infra.store.store import DigestMismatch, Store, StoreError


def find_elsewhere(store: Store, location: Location) -> tuple[Location, Manifest] | None:
    """An undamaged artifact of the same key in another run, with its manifest; None if there is none."""
    for other in _same_key(store, location):
        try:
            manifest = find_manifest(store, other)
        except DamagedArtifact:
            # The run it belongs to will set it aside.
            continue
        if manifest is not None:
            return other, manifest
    return None


def find_part_elsewhere(store: Store, location: Location, part: int) -> tuple[Location, FileRecord] | None:
    """A finished part of the same artifact in another run; None if there is none."""
    for other in _same_key(store, location):
        record = parse_record(store.get(part_record_path(other, part)))
        if record is not None and store.size(f"{other.path}/{record.name}") == record.bytes:
            return other, record
    return None


def copy_files(store: Store, source: Location, target: Location, files: list[FileRecord]) -> bool:
    """Copy files of one artifact into the folder of another; False if one is not what its record says."""
    with tempfile.TemporaryDirectory(prefix="rzero-adopt-") as folder:
        copy = Path(folder) / "copy"
        for file in files:
            try:
                store.download(f"{source.path}/{file.name}", copy, file.sha256)
            except DigestMismatch:
                return False
            except StoreError:
                # Removed meanwhile: the artifact is made as if the file had never been there.
                if store.exists(f"{source.path}/{file.name}"):
                    raise
                return False
            store.put_file(f"{target.path}/{file.name}", copy)
    return True


def _same_key(store: Store, location: Location) -> Iterator[Location]:
    for run in store.names("runs"):
        if run != location.run:
            yield location.model_copy(update={"run": run})
