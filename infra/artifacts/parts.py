"""Finished parts (shards) of a table that is still being made.

    <work>/parts/part-00000.json            the record: created once, names the file
    <work>/parts/part-00000-<writer>.new    the file of one writer
    <work>/parts/part-00000.json.damaged    the file is not what the record says: `part-00000.2.json` is next

Once the artifact is finished, the files lie in its folder, and the records stay.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Mapping
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field, ValidationError

from infra.artifacts.artifact import FileRecord, Location, part_name
from infra.artifacts.names import plain_name
from infra.store.store import Store

_PARTS = "parts"
_DAMAGED = ".damaged"

log = logging.getLogger("rzero.store")


class PartRecord(FileRecord):
    """A finished part; `name` is the one that its file has in the artifact."""

    source: Annotated[str, AfterValidator(plain_name)] = Field(description="Its file until then.")
    seconds: float = Field(description="How long it took to make.")

    @property
    def file(self) -> FileRecord:
        """The part as the manifest lists it."""
        return FileRecord(name=self.name, sha256=self.sha256, bytes=self.bytes, rows=self.rows)


class FoundPart(NamedTuple):
    """A finished part, and where its file lies in the store now."""

    record: PartRecord
    path: str


def parts_folder(location: Location) -> str:
    """The folder of the parts within the store."""
    return f"{location.work}/{_PARTS}"


def finished_parts(store: Store, location: Location) -> int:
    """How many parts are finished."""
    names = store.names(parts_folder(location))
    return len({name.partition(".")[0] for name in names if name.endswith(".json")})


def find_part(store: Store, location: Location, part: int, suffix: str = "") -> FoundPart | None:
    """A finished part with a file of the right size; None if there is none.

    `suffix` is what the files of the artifact end in, if it was set aside.
    """
    return _look(store, location, part, suffix)[1]


def record_part(store: Store, location: Location, record: PartRecord, part: int) -> FoundPart:
    """Make a part exist, unless another writer was first; the part that then exists."""
    content = record.model_dump_json(indent=1).encode()
    while True:
        name, found = _look(store, location, part)
        if found is not None:
            return found
        store.create(f"{parts_folder(location)}/{name}", content)


def set_part_aside(store: Store, found: FoundPart, location: Location, part: int) -> None:
    """Let a part that turned out damaged be made again; its file and its record stay."""
    folder, files = parts_folder(location), store.sizes(parts_folder(location))
    for name in _record_names(part):
        if name not in files:
            return
        if _record(store.get(f"{folder}/{name}")) == found.record:
            store.create(f"{folder}/{name}{_DAMAGED}", b"")
            log.warning("%s is damaged, to be made again", store.uri_of(found.path))
            return


def _look(store: Store, location: Location, part: int, suffix: str = "") -> tuple[str, FoundPart | None]:
    """The part's first record that holds, and its name; without one, the name that is free."""
    folder = parts_folder(location)
    files = store.sizes(folder)
    for name in _record_names(part):
        if name not in files:
            return name, None
        if f"{name}{_DAMAGED}" in files:
            continue
        record = _record(store.get(f"{folder}/{name}"))
        if record is not None and (path := _path_of(store, location, record, files, suffix)):
            return name, FoundPart(record, path)
        reason = "cannot be read" if record is None else f"lacks its file of {record.bytes} bytes"
        log.warning("%s %s; the part is made again", store.uri_of(f"{folder}/{name}"), reason)
    raise AssertionError("names without end")


def _record_names(part: int) -> itertools.chain[str]:
    stem = part_name(part).removesuffix(".parquet")
    return itertools.chain([f"{stem}.json"], (f"{stem}.{number}.json" for number in itertools.count(2)))


def _path_of(
    store: Store, location: Location, record: PartRecord, files: Mapping[str, int], suffix: str
) -> str | None:
    """Where the part's file lies: with the parts, or in the finished artifact."""
    if files.get(record.source) == record.bytes:
        return f"{parts_folder(location)}/{record.source}"
    path = f"{location.path}/{record.name}{suffix}"
    return path if store.size(path) == record.bytes else None


def _record(content: bytes | None) -> PartRecord | None:
    try:
        return PartRecord.model_validate_json(content or b"")
    except ValidationError:
        return None
