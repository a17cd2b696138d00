"""Checkpoints of a training, kept in the store beside the other unfinished work on its artifact."""

from __future__ import annotations

import json
import logging
import re
import uuid
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from infra.artifacts.artifact import FileRecord, Location
from infra.scratch import ScratchFolder
from infra.store.store import DigestMismatch, Progress, Store

_KEEP = 2
CHECKPOINTS = "checkpoints"
LISTING = "_checkpoint.json"
_LISTED = re.compile(rf"(step-(\d{{6,}})-[0-9a-f]+)/{LISTING}")
_RECORDS = TypeAdapter(list[FileRecord])

log = logging.getLogger("rzero.store")


class StoreCheckpoints:
    """Checkpoints under `<work>/checkpoints/step-<n>-<id>/`, complete once `_checkpoint.json` is there.

    Each has a folder of its own, also where two processes save the same step.
    """

    def __init__(self, store: Store, location: Location, progress: Progress | None = None) -> None:
        self._store = store
        self._path = f"{location.work}/{CHECKPOINTS}"
        self._progress = progress

    def newest(self) -> tuple[int, Path] | None:
        """The newest complete checkpoint as a local folder, skipping damaged ones.

        The folder lives until the next call, at most as long as this object. A store that does not answer
        raises StoreUnavailable; no checkpoint is skipped because of that.
        """
        for step, name in reversed(self._saved()):
            self._fetched = ScratchFolder("checkpoint")
            if (damage := self._fetch(name, self._fetched.path)) is None:
                log.info("resumed from the checkpoint of step %d", step)
                return step, self._fetched.path
            log.warning("%s is passed over: %s", self._store.uri_of(f"{self._path}/{name}"), damage)
            self._fetched.remove()
        return None

    def newest_step(self) -> int | None:
        """The step of the newest checkpoint, damaged or not; None where there is none."""
        return max((step for step, _ in self._saved()), default=None)

    def newest_file(self, name: str) -> bytes | None:
        """A file of the newest checkpoint, damaged or not; None where there is none."""
        saved = self._saved()
        return self._store.get(f"{self._path}/{saved[-1][1]}/{name}") if saved else None

    def save(self, step: int, folder: Path) -> None:
        """Publish a folder as the checkpoint of a step and drop all but the newest two."""
        path = f"{self._path}/step-{step:06d}-{uuid.uuid4().hex[:12]}"
        records = []
        for source in sorted(each for each in folder.iterdir() if each.is_file()):
            written = self._store.put_file(f"{path}/{source.name}", source, self._progress)
            records.append(FileRecord(name=source.name, sha256=written.sha256, bytes=written.bytes))
        listing = json.dumps([record.model_dump(mode="json") for record in records], indent=1)
        self._store.put(f"{path}/{LISTING}", listing.encode())
        for _, old in self._saved()[:-_KEEP]:
            self._store.remove(f"{self._path}/{old}/{LISTING}")
            self._store.remove(f"{self._path}/{old}")

    def _saved(self) -> list[tuple[int, str]]:
        """The steps that have a listing, in order, and the names of their folders."""
        names = (_LISTED.fullmatch(name) for name in self._store.sizes(self._path))
        return sorted((int(match[2]), match[1]) for match in names if match)

    def _fetch(self, name: str, folder: Path) -> str | None:
        """Copy a checkpoint to a folder; what is wrong with it, if anything."""
        path = f"{self._path}/{name}"
        try:
            records = _RECORDS.validate_json(self._store.get(f"{path}/{LISTING}") or b"")
        except ValidationError:
            return f"{LISTING} cannot be read"
        for record in records:
            size = self._store.size(f"{path}/{record.name}")
            if size != record.bytes:
                return f"{record.name} is {'missing' if size is None else f'{size} bytes long'}"
            try:
                self._store.download(
                    f"{path}/{record.name}", folder / record.name, record.sha256, self._progress
                )
            except DigestMismatch as error:
                return str(error)
        return None
