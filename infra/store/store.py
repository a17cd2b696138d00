"""The store: bytes under names, over fsspec (`file://`, `s3://`, `memory://`).

Everything else rests on two promises: a name is either absent or whole (`put`), and of several writers of
one name exactly one succeeds (`create`). Transient failures are retried within; all others are a StoreError
of one line.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from infra.scratch import ScratchFolder
from infra.store.backend import (
    PROBE,
    TEMPORARY,
    Backend,
    FileDigest,
    FsspecBackend,
    Leftover,
    Progress,
    file_sha256,
    shifted,
)
from infra.store.disk import DiskBackend
from infra.store.errors import DigestMismatch, StoreError, StoreUnavailable
from infra.store.s3 import S3Backend
from infra.store.s3_settings import S3Settings, open_s3
from infra.store.uri import checked_uri


class Store:
    """A place for artifacts. Paths are relative to its root, with '/' between their parts."""

    def __init__(self, uri: str, s3: S3Settings | None = None) -> None:
        """Open `uri`, a folder, s3:// or memory://, without touching it yet; StoreError if it is none."""
        kind, place = checked_uri(uri)
        self._backend: Backend
        if kind == "file":
            self.fs, root = LocalFileSystem(), place
            self._backend = DiskBackend()
        elif kind == "memory":
            self.fs, root = fsspec.core.url_to_fs(place)
            self._backend = FsspecBackend(self.fs)
        else:
            try:
                self.fs, root = open_s3(place)
            except (ImportError, ValueError) as error:
                hint = "; pip install 'rzero[s3]'" if isinstance(error, ImportError) else ""
                raise StoreError(f"store {uri!r} cannot be opened: {error}{hint}") from None
            self._backend = S3Backend(self.fs, s3)
        self.root = root.rstrip("/")
        self.is_local = isinstance(self._backend, DiskBackend)
        self.uri = self.root if self.is_local else self.fs.unstrip_protocol(self.root)

    def full(self, path: str) -> str:
        """The path as the file system knows it."""
        return f"{self.root}/{path}" if path else self.root

    def uri_of(self, path: str) -> str:
        """The path as polars, pyarrow or a person can open it."""
        return self.full(path) if self.is_local else self.fs.unstrip_protocol(self.full(path))

    def path_of(self, uri: str) -> str:
        """The inverse of `uri_of`; StoreError for a URI outside this store."""
        full = uri if self.is_local else self.fs._strip_protocol(uri)
        if not full.startswith(self.root + "/"):
            raise StoreError(f"{uri} does not lie in the store {self.uri}")
        return full[len(self.root) + 1 :]

    def check_writable(self) -> None:
        """StoreError if nothing can be written or `create` has no single winner; leaves nothing behind."""
        probe = f"{PROBE}{uuid.uuid4().hex}"
        existed = not self.is_local or os.path.isdir(self.root)
        try:
            won = (self.create(probe, b"1"), self.create(probe, b"2"))
            self.remove(probe)
        except (OSError, StoreError) as error:
            if not existed:
                with contextlib.suppress(OSError):
                    os.rmdir(self.root)
            reason = str(error).removeprefix(f"{self.uri_of(probe)}").removeprefix(": ")
            kind = StoreUnavailable if isinstance(error, StoreUnavailable) else StoreError
            raise kind(f"store {self.uri} cannot be written to: {reason.strip()}") from None
        if won != (True, False):
            raise StoreError(
                f"store {self.uri} does not honour conditional writes (If-None-Match): two runs could "
                "overwrite each other's work; use another server"
            )

    def exists(self, path: str) -> bool:
        """Whether there is a file of this name."""
        return self.size(path) is not None

    def get(self, path: str) -> bytes | None:
        """The content of a file; None if there is none."""
        return self._backend.read(self.full(path))

    def read(self, path: str) -> bytes:
        """The content of a file; StoreError if there is none."""
        content = self.get(path)
        if content is None:
            raise StoreError(f"{self.uri_of(path)} is missing")
        return content

    def size(self, path: str) -> int | None:
        """Bytes of a file; None if there is none."""
        return self._backend.size(self.full(path))

    def sizes(self, path: str) -> dict[str, int]:
        """Bytes of all files under a folder, by their path within it, sorted."""
        return dict(sorted(self._backend.sizes(self.full(path)).items()))

    def sha256(self, path: str) -> str | None:
        """sha256 of a file of any size; None if there is none."""
        if self.is_local:
            full = Path(self.full(path))
            return file_sha256(full) if full.is_file() else None
        with ScratchFolder("copy") as folder:
            copy = folder / "copy"
            return file_sha256(copy) if self._backend.download(self.full(path), copy, None) else None

    def put(self, path: str, content: bytes) -> None:
        """Write a file atomically, replacing an earlier one."""
        self._backend.put(self.full(path), content)

    def put_file(self, path: str, source: Path, progress: Progress | None = None) -> FileDigest:
        """Copy a local file into the store atomically, replacing an earlier one.

        The file is never held in memory; in a bucket the parts of a large one travel in parallel.
        """
        return self._backend.put_file(self.full(path), source, progress)

    def create(self, path: str, content: bytes) -> bool:
        """Write a file only if there is none of this name; whether this call created it."""
        return self._backend.create(self.full(path), content)

    def names(self, path: str) -> list[str]:
        """Names of the files and folders directly under a folder, sorted; [] if there is no folder."""
        names = set(self._backend.names(self.full(path))) - {".", ""}
        return sorted(name for name in names if not name.startswith(TEMPORARY))

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all it holds, if it is there."""
        self._backend.remove(self.full(path))

    def move(self, source: str, target: str) -> bool:
        """Rename a file, replacing an earlier one of that name; False if there is no such file."""
        return self._backend.move(self.full(source), self.full(target))

    def leftovers(self, path: str, age_seconds: float) -> list[Leftover]:
        """What killed writers left half written under a folder, untouched for this long.

        These are files that no other method shows, or uploads to a bucket.
        """
        return self._backend.leftovers(self.full(path), age_seconds)

    def drop(self, leftover: Leftover) -> None:
        """Remove it, if it is still there."""
        self._backend.drop(leftover)

    def download(
        self, path: str, target: Path, sha256: str | None = None, progress: Progress | None = None
    ) -> None:
        """Copy a file of the store to a local path atomically.

        StoreError if there is none, DigestMismatch if its sha256 is not the given one; the target is then
        left untouched.
        """
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=target.parent)
        except OSError as error:
            raise StoreError(f"{target} cannot be written: {os.strerror(error.errno or 0)}") from None
        os.close(handle)
        temporary = Path(name)
        try:
            if not self._backend.download(self.full(path), temporary, progress):
                raise StoreError(f"{self.uri_of(path)} is missing")
            if sha256 is not None and file_sha256(temporary) != sha256:
                raise DigestMismatch(f"{self.uri_of(path)} does not have the sha256 {sha256}")
            temporary.chmod(0o644)
            temporary.replace(target)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise StoreError(f"{target} cannot be written: {reason}") from None
        finally:
            temporary.unlink(missing_ok=True)


__all__ = [
    "DigestMismatch",
    "FileDigest",
    "Leftover",
    "Progress",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "file_sha256",
    "shifted",
]
