"""A store on a disk: whole files by rename, one winner by hard link, all of it flushed before it is named."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from infra.store.backend import CHUNK_BYTES, PROBE, TEMPORARY, FileDigest, Leftover, Progress
from infra.store.errors import StoreError, StoreUnavailable

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MAY_PASS = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.EINTR)


class DiskBackend:
    """The local disk, or a network file system that looks like one."""

    def size(self, full: str) -> int | None:
        """Bytes of a file."""
        with _explained("read", full):
            try:
                return os.path.getsize(full) if os.path.isfile(full) else None
            except FileNotFoundError:
                return None

    def read(self, full: str) -> bytes | None:
        """The bytes of a file."""
        with _explained("read", full):
            try:
                return Path(full).read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

    def put(self, full: str, content: bytes) -> None:
        """Write a file over an earlier one."""
        with _explained("write", full), _temporary(full) as (handle, temporary):
            _write(handle, content)
            _finish(handle)
            os.replace(temporary, full)
            _flush_folder(full)

    def put_file(self, full: str, source: Path, progress: Progress | None) -> FileDigest:
        """Copy a local file in, in pieces."""
        with source.open("rb") as file, _explained("write", full), _temporary(full) as (handle, temporary):
            total = os.fstat(file.fileno()).st_size
            digest, done = hashlib.sha256(), 0
            while chunk := file.read(CHUNK_BYTES):
                _write(handle, chunk)
                digest.update(chunk)
                done += len(chunk)
                if progress:
                    progress(done, total)
            _finish(handle)
            os.replace(temporary, full)
            _flush_folder(full)
        return FileDigest(digest.hexdigest(), done)

    def create(self, full: str, content: bytes) -> bool:
        """Write a file if there is none."""
        with _explained("write", full), _temporary(full) as (handle, temporary):
            _write(handle, content)
            _finish(handle)
            try:
                os.link(temporary, full)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return _create_without_links(full, content)
            _flush_folder(full)
        return True

    def download(self, full: str, target: Path, progress: Progress | None) -> bool:
        """Copy a file out, in pieces."""
        if not os.path.isfile(full):
            return False
        with open(full, "rb") as source, _explained("write", str(target)), target.open("wb") as file:
            total, done = os.fstat(source.fileno()).st_size, 0
            while chunk := source.read(CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                if progress:
                    progress(done, total)
        return True

    def names(self, full: str) -> list[str]:
        """Names right under a folder."""
        with _explained("read", full):
            try:
                return os.listdir(full)
            except (FileNotFoundError, NotADirectoryError):
                return []

    def sizes(self, full: str) -> dict[str, int]:
        """Bytes of all files under a folder; files that are being written are none."""
        found = {}
        with _explained("read", full):
            for folder, _, names in os.walk(full):
                for name in names:
                    path = os.path.join(folder, name)
                    if not name.startswith(TEMPORARY):
                        with contextlib.suppress(FileNotFoundError):
                            found[os.path.relpath(path, full).replace(os.sep, "/")] = os.path.getsize(path)
        return found

    def remove(self, full: str) -> None:
        """Remove a file or a folder."""
        with _explained("remove", full):
            try:
                os.unlink(full)
            except (FileNotFoundError, NotADirectoryError):
                return
            except (IsADirectoryError, PermissionError):
                if not os.path.isdir(full):
                    raise
                _remove_folder(full)

    def move(self, source: str, target: str) -> bool:
        """Give a file another name."""
        with _explained("write", target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            try:
                os.replace(source, target)
            except FileNotFoundError:
                return False
            _flush_folder(target)
        return True

    def leftovers(self, full: str, age_seconds: float) -> list[Leftover]:
        """Temporary files that nobody has written to for so long."""
        found, before = [], time.time() - age_seconds
        with _explained("read", full):
            for folder, _, names in os.walk(full):
                for name in names:
                    if name.startswith((TEMPORARY, PROBE)):
                        path = os.path.join(folder, name)
                        with contextlib.suppress(FileNotFoundError):
                            stat = os.stat(path)
                            if stat.st_mtime < before:
                                found.append(Leftover(path, stat.st_size))
        return found

    def drop(self, leftover: Leftover) -> None:
        """Remove a temporary file."""
        self.remove(leftover.full)


def _create_without_links(full: str, content: bytes) -> bool:
    """For a file system without hard links: one winner still, but a crash may leave half a file."""
    try:
        handle = os.open(full, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    try:
        _write(handle, content)
        os.fsync(handle)
    except BaseException:
        os.unlink(full)
        raise
    finally:
        os.close(handle)
    return True


@contextlib.contextmanager
def _temporary(full: str) -> Iterator[tuple[int, str]]:
    """An open temporary file beside the target; gone afterwards."""
    folder = os.path.dirname(full)
    os.makedirs(folder, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=folder)
    try:
        yield handle, temporary
    finally:
        os.close(handle)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def _write(handle: int, content: bytes) -> None:
    """All of the content: one call may write less, where the disk is nearly full."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _finish(handle: int) -> None:
    os.fchmod(handle, 0o644)
    os.fsync(handle)


def _flush_folder(full: str) -> None:
    """Make a new name outlast a power cut, where the file system lets a folder be flushed."""
    handle = os.open(os.path.dirname(full), os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


def _remove_folder(full: str) -> None:
    """Remove a tree that another process may be removing too."""
    for folder, folders, names in os.walk(full, topdown=False):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))
        for name in folders:
            path = os.path.join(folder, name)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path) if os.path.islink(path) else os.rmdir(path)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(full)


@contextlib.contextmanager
def _explained(verb: str, full: str) -> Iterator[None]:
    """An error of the disk as one line that says what to do."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        message = f"{full} cannot be {_PARTICIPLES[verb]}: {reason}"
        if error.errno in _FULL:
            message += "; make room, or name another place with --store, then start the same command again"
        kind = StoreUnavailable if error.errno in _MAY_PASS else StoreError
        raise kind(message) from None


_PARTICIPLES = {"read": "read", "write": "written", "remove": "removed"}
