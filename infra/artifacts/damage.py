"""Damaged artifacts are set aside, never deleted, so that the next run makes them again.

Setting aside moves files to `<artifact>.damaged-<n>/`, beside a `_damage.json` that says where they came
from. Each gets the suffix `.damaged`, so no search for tables or manifests finds it. Sound parts of a
sharded artifact stay where they are, so their work is not done twice. Two processes that set aside the same
artifact take different numbers; the later one sees that the manifest has changed since it found the damage,
and leaves alone what was made since.
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
    """The artifact; None if it does not exist, or was damaged and has been set aside by this call."""
    try:
        return find(store, location)
    except DamagedArtifact as damage:
        log.warning("%s; set aside at %s, to be made again", damage, set_aside(store, location))
        return None


def set_aside(store: Store, artifact: Location | str) -> str:
    """Move an artifact (or the folder that DamagedArtifact names) away; the URI of where it lies now.

    It then no longer exists. Everything in its folder is moved, except parts that match their records, and
    checkpoints.
    """
    path = artifact if isinstance(artifact, str) else artifact.path
    damaged = store.get(f"{path}/{MANIFEST}")
    files = store.sizes(path)
    left = _sound_parts(store, path, files) | {MANIFEST}
    moved = [name for name in files if name not in left and not name.startswith(_LEFT_ALONE)]
    if damaged is not None:
        moved.insert(0, MANIFEST)
    target = _reserve(store, path, moved)
    if store.get(f"{path}/{MANIFEST}") == damaged:
        _move(store, path, target, moved)
    return store.uri_of(target)


def part_record_path(location: Location, part: int) -> str:
    """Where the record of a finished part lies."""
    return f"{location.path}/{PARTS}/{part_name(part).removesuffix('.parquet')}.json"


def find_part_record(store: Store, location: Location, part: int) -> FileRecord | None:
    """The record of a finished part; None if there is none, or the part was damaged and is set aside."""
    path = part_record_path(location, part)
    content = store.get(path)
    if content is None:
        return None
    record = parse_record(content)
    name = part_name(part) if record is None else record.name
    size = store.size(f"{location.path}/{name}")
    if record is not None and size == record.bytes:
        return record
    reason = "has no readable record" if record is None else f"is {size} bytes long, not {record.bytes}"
    if size is None:
        reason = "is missing"
    moved = [path.removeprefix(f"{location.path}/"), name]
    target = _reserve(store, location.path, moved)
    _move(store, location.path, target, moved)
    what, where = store.uri_of(f"{location.path}/{name}"), store.uri_of(target)
    log.warning("%s %s; set aside at %s, to be made again", what, reason, where)
    return None


def _sound_parts(store: Store, path: str, files: dict[str, int]) -> set[str]:
    """Names of the parts that match their records, and of those records."""
    sound: set[str] = set()
    for name in files:
        if not name.startswith(f"{PARTS}/"):
            continue
        record = parse_record(store.get(f"{path}/{name}"))
        if (
            record is not None
            and files.get(record.name) == record.bytes
            and store.sha256(f"{path}/{record.name}") == record.sha256
        ):
            sound |= {name, record.name}
    return sound


def parse_record(content: bytes | None) -> FileRecord | None:
    """The record of a part, from its bytes; None if it cannot be read."""
    try:
        return FileRecord.model_validate_json(content or b"")
    except ValidationError:
        return None


def _move(store: Store, path: str, target: str, names: list[str]) -> None:
    for name in names:
        store.move(f"{path}/{name}", f"{target}/{name}{_SUFFIX}")


def _reserve(store: Store, path: str, moved: list[str]) -> str:
    """A folder `<path>.damaged-<n>` that belongs to this call alone."""
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
