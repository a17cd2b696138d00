"""What is damaged is set aside, never deleted, so that the next run makes it again.

Setting aside moves files to `<artifact>.damaged-<n>/`, each with `.damaged` behind its name so that no
search for tables or manifests meets it, beside `_damage.json`, which says what came from where.
Sound parts of a sharded artifact stay where they are: their work is not done twice. Two processes that
set aside the same artifact take different numbers; one that comes late sees that the manifest is no
longer the one it found damaged, and leaves alone what was made since.
"""

from __future__ import annotations

import json
import logging
import socket
from datetime import UTC, datetime

from pydantic import ValidationError

from infra.artifacts.artifact import (
    MANIFEST,
    PARTS,
    ArtifactRef,
    DamagedArtifact,
    FileRecord,
    Location,
    find,
    part_name,
)
from infra.store.store import Store

DAMAGE = "_damage.json"
_SUFFIX = ".damaged"
_LEFT_ALONE = ("_checkpoints/", "_lease")

log = logging.getLogger("rzero.store")


def find_or_set_aside(store: Store, location: Location) -> ArtifactRef | None:
    """The artifact; None where it does not exist, or was damaged and is set aside by this call."""
    try:
        return find(store, location)
    except DamagedArtifact as damage:
        log.warning("%s; set aside at %s, to be made again", damage, set_aside(store, location))
        return None


def set_aside(store: Store, artifact: Location | str) -> str:
    """Move an artifact (or the folder that DamagedArtifact names) away; the URI of where it lies now.

    From then on it does not exist. Whatever its manifest lists, or lies in its folder, is moved, except
    parts that have a record with their sha256, and checkpoints.
    """
    path = artifact if isinstance(artifact, str) else artifact.path
    manifest = f"{path}/{MANIFEST}"
    found_damaged = store.get(manifest)
    files = store.sizes(path)
    sound = _sound_parts(store, path, files)
    moved = [
        name for name in files if name not in sound and name != MANIFEST and not name.startswith(_LEFT_ALONE)
    ]
    target = _reserve(store, path, [MANIFEST, *moved] if found_damaged is not None else moved)
    if store.get(manifest) != found_damaged:
        return store.uri_of(target)
    for name in (MANIFEST, *moved):
        store.move(f"{path}/{name}", f"{target}/{name}{_SUFFIX}")
    return store.uri_of(target)


def part_record_path(location: Location, part: int) -> str:
    """Where the record of a finished part lies."""
    return f"{location.path}/{PARTS}/{part_name(part).removesuffix('.parquet')}.json"


def find_part_record(store: Store, location: Location, part: int) -> FileRecord | None:
    """The record of a finished part; None where it does not exist, or was damaged and is set aside."""
    path = part_record_path(location, part)
    content = store.get(path)
    if content is None:
        return None
    record = _record(content)
    name = part_name(part) if record is None else record.name
    size = store.size(f"{location.path}/{name}")
    if record is not None and size == record.bytes:
        return record
    reason = "has no readable record" if record is None else f"is {size} bytes long, not {record.bytes}"
    if size is None:
        reason = "is missing"
    target = _reserve(store, location.path, [path.removeprefix(f"{location.path}/"), name])
    for moved in (path.removeprefix(f"{location.path}/"), name):
        store.move(f"{location.path}/{moved}", f"{target}/{moved}{_SUFFIX}")
    log.warning(
        "%s/%s %s; set aside at %s, to be made again",
        store.uri_of(location.path),
        name,
        reason,
        store.uri_of(target),
    )
    return None


def _sound_parts(store: Store, path: str, files: dict[str, int]) -> set[str]:
    """Names of the parts that are what their records say, and of those records."""
    sound: set[str] = set()
    for name in files:
        if not name.startswith(f"{PARTS}/"):
            continue
        record = _record(store.get(f"{path}/{name}") or b"")
        if (
            record is not None
            and files.get(record.name) == record.bytes
            and store.sha256(f"{path}/{record.name}") == record.sha256
        ):
            sound |= {name, record.name}
    return sound


def _record(content: bytes) -> FileRecord | None:
    try:
        return FileRecord.model_validate_json(content)
    except ValidationError:
        return None


def _reserve(store: Store, path: str, moved: list[str]) -> str:
    """A folder `<path>.damaged-<n>` that is this call's alone."""
    note = {
        "set_aside_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "from": store.uri_of(path),
        "files": sorted(moved),
    }
    content = json.dumps(note, indent=1).encode()
    number = 1
    while not store.create(f"{path}.damaged-{number}/{DAMAGE}", content):
        number += 1
    return f"{path}.damaged-{number}"
