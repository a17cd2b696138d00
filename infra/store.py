"""The store: bytes under names, over fsspec (`file://`, `s3://`, `memory://`).

Two promises that everything else rests on: a name is either absent or whole (`put`), and of several
writers of one name exactly one succeeds (`create`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

_MEMORY_LOCK = threading.Lock()


class StoreError(Exception):
    """The store cannot do what was asked; the message says where and why."""


class Store:
    """A place for artifacts. Paths are relative to its root, with '/' between their parts."""

    def __init__(self, uri: str) -> None:
        """Open `uri`: a folder, or an fsspec URI. Touches nothing yet; StoreError where it is no such."""
        try:
            self.fs, root = fsspec.core.url_to_fs(os.path.expanduser(uri) if "://" not in uri else uri)
        except (ValueError, ImportError) as error:
            raise StoreError(f"store {uri!r} cannot be opened: {error}") from None
        self.root = root.rstrip("/")
        self.is_local = isinstance(self.fs, LocalFileSystem)
        self._is_memory = isinstance(self.fs, MemoryFileSystem)
        self.uri = self.root if self.is_local else self.fs.unstrip_protocol(self.root)

    def full(self, path: str) -> str:
        """The path as the file system knows it."""
        return f"{self.root}/{path}" if path else self.root

    def uri_of(self, path: str) -> str:
        """The path as polars, pyarrow and a person can open it."""
        return self.full(path) if self.is_local else self.fs.unstrip_protocol(self.full(path))

    def path_of(self, uri: str) -> str:
        """The inverse of `uri_of`; StoreError for what lies outside this store."""
        full = uri if self.is_local else self.fs._strip_protocol(uri)
        if not full.startswith(self.root + "/"):
            raise StoreError(f"{uri} does not lie in the store {self.uri}")
        return full[len(self.root) + 1 :]

    def check_writable(self) -> None:
        """StoreError where nothing can be written; leaves nothing behind."""
        probe = f".probe-{os.getpid()}-{threading.get_ident()}"
        existed = self.fs.exists(self.root)
        try:
            self.put(probe, b"")
            self.fs.rm_file(self.full(probe))
        except (OSError, StoreError) as error:
            if not existed and self.is_local:
                with contextlib.suppress(OSError):
                    os.rmdir(self.root)
            raise StoreError(f"store {self.uri} cannot be written to: {_reason(error)}") from None

    def exists(self, path: str) -> bool:
        """Whether there is a file of this name."""
        return bool(self.fs.isfile(self.full(path)))

    def read(self, path: str) -> bytes:
        """The bytes of a file; StoreError where there is none."""
        try:
            return bytes(self.fs.cat_file(self.full(path)))
        except FileNotFoundError:
            raise StoreError(f"{self.uri_of(path)} is missing") from None

    def size(self, path: str) -> int | None:
        """Bytes of a file; None where there is none."""
        try:
            return int(self.fs.size(self.full(path)))
        except FileNotFoundError:
            return None

    def put(self, path: str, content: bytes) -> None:
        """Write a file whole, over an earlier one."""
        if self.is_local:
            with self._local_temporary(path, content) as temporary:
                os.replace(temporary, self.full(path))
        else:
            self.fs.pipe_file(self.full(path), content)

    def put_file(self, path: str, source: Path) -> None:
        """Copy a local file into the store, whole, over an earlier one."""
        if self.is_local:
            self.put(path, source.read_bytes())
        else:
            self.fs.put_file(str(source), self.full(path))

    def create(self, path: str, content: bytes) -> bool:
        """Write a file only if there is none of this name; whether this call was the one that did."""
        if self.is_local:
            with self._local_temporary(path, content) as temporary:
                try:
                    os.link(temporary, self.full(path))
                except FileExistsError:
                    return False
            return True
        if self._is_memory:
            with _MEMORY_LOCK:
                if self.exists(path):
                    return False
                self.fs.pipe_file(self.full(path), content)
            return True
        try:
            self.fs.pipe_file(self.full(path), content, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            if _is_refused_condition(error):
                return False
            raise
        return True

    def names(self, path: str) -> list[str]:
        """Names of the files and folders right under a folder, sorted; [] where there is no folder."""
        try:
            entries = self.fs.ls(self.full(path), detail=False, refresh=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        hidden = (".", "")
        found = (PurePosixPath(entry).name for entry in entries if entry.rstrip("/") != self.full(path))
        return sorted(name for name in found if not name.startswith(".tmp-") and name not in hidden)

    def remove(self, path: str) -> None:
        """Remove a file or a folder with all it holds, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.fs.rm(self.full(path), recursive=True)

    def download(self, path: str, target: Path) -> None:
        """Copy a file of the store to a local path, whole."""
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=target.parent)
        os.close(handle)
        try:
            self.fs.get_file(self.full(path), temporary)
            os.replace(temporary, target)
        except FileNotFoundError:
            raise StoreError(f"{self.uri_of(path)} is missing") from None
        finally:
            Path(temporary).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _local_temporary(self, path: str, content: bytes) -> Iterator[str]:
        """A temporary file beside the target with the content on disk; gone afterwards."""
        folder = os.path.dirname(self.full(path))
        os.makedirs(folder, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".tmp-", dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            yield temporary
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def _is_refused_condition(error: OSError) -> bool:
    """Whether an S3 server refused `If-None-Match: *`; where it does not name it, s3fs gives EINVAL."""
    response = getattr(error.__cause__, "response", None) or {}
    code = response.get("Error", {}).get("Code")
    return error.errno in (errno.EINVAL, errno.EEXIST) and code in (
        "PreconditionFailed",
        "ConditionalRequestConflict",
        "412",
    )


def _reason(error: Exception) -> str:
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
