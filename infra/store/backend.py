"""What a store needs of the place it lies in, and the plainest such place."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all, by the thread that began the transfer."""

CHUNK_BYTES = 4 * 1024 * 1024
TEMPORARY = ".tmp-"
PROBE = ".probe-"

_MEMORY_LOCK = threading.Lock()


class FileDigest(NamedTuple):
    """A file's digest and size, taken while it was copied."""

    sha256: str
    bytes: int


class Leftover(NamedTuple):
    """A file or an upload that was never finished: no reader sees it, but it takes room."""

    full: str
    bytes: int
    upload: str | None = None


class Backend(Protocol):
    """Files under full names. A name is absent or whole; absence is None, False, [] or {}, not an error."""

    def size(self, full: str) -> int | None:
        """Bytes of a file."""

    def read(self, full: str) -> bytes | None:
        """The content of a file."""

    def put(self, full: str, content: bytes) -> None:
        """Write a file, replacing an earlier one."""

    def put_file(self, full: str, source: Path, progress: Progress | None) -> FileDigest:
        """Copy a local file in, replacing an earlier one, without holding all of it in memory."""

    def create(self, full: str, content: bytes) -> bool:
        """Write a file if there is none; exactly one of several callers gets True."""

    def download(self, full: str, target: Path, progress: Progress | None) -> bool:
        """Copy a file out into an existing local file."""

    def names(self, full: str) -> list[str]:
        """Names directly under a folder."""

    def sizes(self, full: str) -> dict[str, int]:
        """Bytes of all files under a folder, by their path within it."""

    def remove(self, full: str) -> None:
        """Remove a file, or a folder with all it holds."""

    def move(self, source: str, target: str) -> bool:
        """Rename a file."""

    def leftovers(self, full: str, age_seconds: float) -> list[Leftover]:
        """What killed writers left half written under a folder, untouched for this long."""

    def drop(self, leftover: Leftover) -> None:
        """Remove it, if it is still there."""


def file_sha256(path: Path) -> str:
    """sha256 of a local file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Progress within one of several files, as progress over all of them."""
    return (lambda done, _: progress(before + done, total)) if progress else None


class FsspecBackend(Backend):
    """Any fsspec file system whose writes are atomic; `memory://` is made safe for threads."""

    def __init__(self, fs: Any) -> None:
        self._fs = fs
        self._is_memory = "memory" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)

    def size(self, full: str) -> int | None:
        try:
            info = self._fs.info(full)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return int(info["size"]) if info["type"] == "file" else None

    def read(self, full: str) -> bytes | None:
        try:
            return bytes(self._fs.cat_file(full))
        except (FileNotFoundError, IsADirectoryError):
            return None

    def put(self, full: str, content: bytes) -> None:
        self._fs.pipe_file(full, content)

    def put_file(self, full: str, source: Path, progress: Progress | None) -> FileDigest:
        self._fs.put_file(str(source), full)
        size = source.stat().st_size
        if progress:
            progress(size, size)
        return FileDigest(file_sha256(source), size)

    def create(self, full: str, content: bytes) -> bool:
        if self._is_memory:
            with _MEMORY_LOCK:
                if self.size(full) is not None:
                    return False
                self._fs.pipe_file(full, content)
            return True
        try:
            self._fs.pipe_file(full, content, mode="create")
        except FileExistsError:
            return False
        return True

    def download(self, full: str, target: Path, progress: Progress | None) -> bool:
        try:
            self._fs.get_file(full, str(target))
        except FileNotFoundError:
            return False
        if progress:
            size = target.stat().st_size
            progress(size, size)
        return True

    def names(self, full: str) -> list[str]:
        try:
            entries = self._fs.ls(full, detail=False, refresh=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [PurePosixPath(entry).name for entry in entries if entry.rstrip("/") != full]

    def sizes(self, full: str) -> dict[str, int]:
        prefix = full.rstrip("/") + "/"
        return {
            name.removeprefix(prefix): int(info["size"])
            for name, info in self._fs.find(full, detail=True).items()
            if name.startswith(prefix)
        }

    def remove(self, full: str) -> None:
        try:
            self._fs.rm(full, recursive=True)
        except FileNotFoundError:
            return

    def move(self, source: str, target: str) -> bool:
        try:
            self._fs.cp_file(source, target)
        except FileNotFoundError:
            return False
        self.remove(source)
        return True

    def leftovers(self, full: str, age_seconds: float) -> list[Leftover]:
        return []

    def drop(self, leftover: Leftover) -> None:
        """Nothing to remove: there are no leftovers."""
