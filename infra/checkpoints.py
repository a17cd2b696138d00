"""Checkpoints of a training, kept in the store beside the artifact that it will become."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from infra.artifacts import FileRecord, Location, sha256
from infra.store import Store

_FOLDER = re.compile(r"step-(\d{6})")
_KEEP = 2


class StoreCheckpoints:
    """Checkpoints under `<artifact>/_checkpoints/step-<n>/`, complete once `_checkpoint.json` is there."""

    def __init__(self, store: Store, location: Location) -> None:
        self._store = store
        self._path = f"{location.path}/_checkpoints"

    def newest(self) -> tuple[int, Path] | None:
        """The newest complete checkpoint as a local folder; one that is damaged is passed over."""
        for step in reversed(self._steps()):
            folder = Path(tempfile.mkdtemp(prefix="rzero-checkpoint-"))
            if self._fetch(step, folder):
                return step, folder
        return None

    def save(self, step: int, folder: Path) -> None:
        """Publish a folder as the checkpoint of a step, then drop all but the newest two."""
        records = []
        for source in sorted(path for path in folder.iterdir() if path.is_file()):
            content = source.read_bytes()
            self._store.put(f"{self._step_path(step)}/{source.name}", content)
            records.append(FileRecord(name=source.name, sha256=sha256(content), bytes=len(content)))
        listing = json.dumps([record.model_dump(mode="json") for record in records], indent=1)
        self._store.put(f"{self._step_path(step)}/_checkpoint.json", listing.encode())
        for old in self._steps()[:-_KEEP]:
            self._store.remove(self._step_path(old))

    def remove(self) -> None:
        """Drop all of them: the artifact is finished."""
        self._store.remove(self._path)

    def _step_path(self, step: int) -> str:
        return f"{self._path}/step-{step:06d}"

    def _steps(self) -> list[int]:
        found = (_FOLDER.fullmatch(name) for name in self._store.names(self._path))
        steps = (int(match.group(1)) for match in found if match)
        return sorted(
            step for step in steps if self._store.exists(f"{self._step_path(step)}/_checkpoint.json")
        )

    def _fetch(self, step: int, folder: Path) -> bool:
        path = self._step_path(step)
        for item in json.loads(self._store.read(f"{path}/_checkpoint.json")):
            record = FileRecord.model_validate(item)
            if self._store.size(f"{path}/{record.name}") != record.bytes:
                return False
            content = self._store.read(f"{path}/{record.name}")
            if sha256(content) != record.sha256:
                return False
            (folder / record.name).write_bytes(content)
        return True
