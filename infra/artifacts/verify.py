"""Whether artifacts are, byte for byte, what their manifests say, and made from what is still there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from infra.artifacts.artifact import (
    MANIFEST,
    DamagedArtifact,
    FileRecord,
    Location,
    Manifest,
    check_size,
    is_loaded,
    location_of,
    newest_generation,
    read_manifest,
)
from infra.artifacts.lineage import problems_of_inputs
from infra.store.store import Store, StoreError


@dataclass(frozen=True)
class Verified:
    """An artifact whose every file was read: how many and how large, and what is wrong.

    `is_damaged` where a file is not what the manifest says, so that it should be made again.
    """

    location: Location
    files: int
    bytes: int
    problems: tuple[str, ...]
    is_damaged: bool


def artifacts_of(store: Store, run: str) -> Iterator[Location]:
    """The run's artifacts, also those that it does not reach any more; not those set aside."""
    root = f"runs/{run}"
    for name in store.sizes(root):
        folder, _, file = name.rpartition("/")
        location = location_of(f"{root}/{folder}") if file == MANIFEST else None
        if location is not None and newest_generation(store, location)[0] == location:
            yield location


def verify_artifact(store: Store, location: Location) -> Verified:
    """The artifact's files against their sha256, and its inputs against the digests that were used.

    Errors as in `verify`.
    """
    location, manifest, changed, foreign = _read(store, location)
    if manifest is None:
        return Verified(location, 0, 0, tuple(changed), is_damaged=True)
    problems = (*changed, *foreign, *problems_of_inputs(store, location, manifest))
    return Verified(location, len(manifest.files), manifest.bytes, problems, is_damaged=bool(changed))


def verify(store: Store, location: Location) -> list[str]:
    """One line for each file that is not what the manifest says; [] if all is well.

    Every file is read. StoreError where there is no artifact, or a newer version of rzero made it.
    """
    _, _, changed, foreign = _read(store, location)
    return changed + foreign


def _read(store: Store, location: Location) -> tuple[Location, Manifest | None, list[str], list[str]]:
    """Where the artifact lies, its manifest if that can be read, and lines on changed and unlisted files."""
    location, sizes = newest_generation(store, location)
    try:
        manifest = read_manifest(store, location)
    except DamagedArtifact as damage:
        return location, None, [str(damage)], []
    if manifest is None:
        raise StoreError(f"there is no artifact at {store.uri_of(location.path)}")
    folder = store.uri_of(location.path)
    foreign = [f"{folder}/{name} is in no manifest" for name in unlisted(manifest, sizes)]
    return location, manifest, changed_files(store, location, manifest.files, sizes), foreign


def changed_files(
    store: Store, location: Location, files: Sequence[FileRecord], sizes: Mapping[str, int] | None = None
) -> list[str]:
    """One line for each of these files that is not as it was recorded, read to its end."""
    sizes = store.sizes(location.path) if sizes is None else sizes
    lines = []
    for file in files:
        path = f"{location.path}/{file.name}"
        try:
            check_size(store, location.path, file, sizes.get(file.name))
        except DamagedArtifact as damage:
            lines.append(str(damage))
            continue
        if store.sha256(path) != file.sha256:
            lines.append(f"{store.uri_of(path)} does not have the sha256 of its manifest")
    return lines


def unlisted(manifest: Manifest, names: Iterable[str]) -> list[str]:
    """Those of these names in an artifact's folder that loaders see and the manifest does not list."""
    listed = {file.name for file in manifest.files}
    return sorted(name for name in names if name not in listed and is_loaded(name))
