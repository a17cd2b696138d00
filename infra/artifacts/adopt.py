"""Work that has already been done for the same key: by another run, or before an artifact was damaged.

A run's artifacts lie in its own folder, so a run can be read, copied and removed as a whole. If another run
has an artifact of the same key, its verified files are copied instead of made again: the variants of an
experiment share the base model and every stage until they diverge.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from infra.artifacts.artifact import (
    DamagedArtifact,
    FileRecord,
    Found,
    Location,
    find_manifest,
    newest_generation,
)
from infra.artifacts.damage import SUFFIX
from infra.artifacts.parts import find_part
from infra.scratch import ScratchFolder
from infra.store.store import DigestMismatch, Store, StoreError


class CopiedFile(NamedTuple):
    """A file of another artifact: where it lies in the store, and what it is."""

    path: str
    record: FileRecord


def find_elsewhere(store: Store, location: Location) -> Found | None:
    """An undamaged artifact of the same key in another run; None if there is none."""
    for other in _same_key(store, location):
        try:
            found = find_manifest(store, other)
        except DamagedArtifact:
            # The run it belongs to will set it aside.
            continue
        if found is not None:
            return found
    return None


def find_part_elsewhere(store: Store, location: Location, part: int) -> Iterator[CopiedFile]:
    """The part as another run has it, or as it was before this artifact was set aside."""
    for generation in range(1, location.generation):
        earlier = location.model_copy(update={"generation": generation})
        yield from _part_of(store, earlier, part, SUFFIX)
    for other in _same_key(store, location):
        yield from _part_of(store, newest_generation(store, other)[0], part)


def _part_of(store: Store, location: Location, part: int, suffix: str = "") -> Iterator[CopiedFile]:
    found = find_part(store, location, part, suffix)
    if found is not None:
        yield CopiedFile(found.path, found.record.file)


def copy_file(store: Store, file: CopiedFile, target: str) -> bool:
    """Copy a file within the store; False if it is not what its record says, or is gone."""
    with ScratchFolder("adopt") as folder:
        copy = folder / "copy"
        try:
            store.download(file.path, copy, file.record.sha256)
        except DigestMismatch:
            return False
        except StoreError:
            # Removed meanwhile: the artifact is made as if the file had never been there.
            if store.exists(file.path):
                raise
            return False
        store.put_file(target, copy)
    return True


def _same_key(store: Store, location: Location) -> Iterator[Location]:
    for run in store.names("runs"):
        if run != location.run:
            yield location.model_copy(update={"run": run, "generation": 1})
