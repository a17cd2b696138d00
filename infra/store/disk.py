"""A store on a disk: atomic writes by rename, one winner by hard link, flushed before a name appears."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from infra.store.backend import CHUNK_BYTES, PROBE, TEMPORARY, Backend, FileDigest, Leftover, Progress
from infra.store.errors import StoreError, StoreUnavailable

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MAY_PASS = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EBUSY, errno.EINTR)


class DiskBackend(Backend):
    """The local disk, or a network file system that looks like one."""

    def size(self, full: str) -> int | None:
        with _explained("read", full):
            try:
                return os.path.getsize(full) if os.path.isfile(full) else None
            except FileNotFoundError:
                return None

    def read(self, full: str) -> bytes | None:
        with _explained("read", full):
            try:
                return Path(full).read_bytes()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None

    def put(self, full: str, content: bytes) -> None:
        with _explained("write", full), _temporary(full) as (handle, temporary):
            _write(handle, content)
            _finish(handle)
            os.replace(temporary, full)
            _flush_folder(full)

    def put_file(self, full: str, source: Path, progress: Progress | None) -> FileDigest:
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
        with _explained("read", full):
            try:
                return os.listdir(full)
            except (FileNotFoundError, NotADirectoryError):
                return []

    def sizes(self, full: str) -> dict[str, int]:
        sizes = {}
        with _explained("read", full):
            for path in _files(full):
                if not os.path.basename(path).startswith(TEMPORARY):
                    with contextlib.suppress(FileNotFoundError):
                        sizes[os.path.relpath(path, full).replace(os.sep, "/")] = os.path.getsize(path)
        return sizes

    def remove(self, full: str) -> None:
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
        with _explained("write", target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            try:
                os.replace(source, target)
            except FileNotFoundError:
                return False
            _flush_folder(target)
        return True

    def leftovers(self, full: str, age_seconds: float) -> list[Leftover]:
        leftovers, before = [], time.time() - age_seconds
        with _explained("read", full):
            for path in _files(full):
                if os.path.basename(path).startswith((TEMPORARY, PROBE)):
                    with contextlib.suppress(FileNotFoundError):
                        stat = os.stat(path)
                        if stat.st_mtime < before:
                            leftovers.append(Leftover(path, stat.st_size))
        return leftovers

    def drop(self, leftover: Leftover) -> None:
        self.remove(leftover.full)


def _files(full: str) -> Iterator[str]:
    """Paths of all files under a folder."""
    for folder, _, names in os.walk(full):
        for name in names:
            yield os.path.join(folder, name)


def _create_without_links(full: str, content: bytes) -> bool:
    """`create` on a file system without hard links: still one winner, but a crash may leave half a file."""
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
    """An open temporary file beside the target, removed afterwards."""
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
    """Write all of it: one call may write less when the disk is nearly full."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _finish(handle: int) -> None:
    os.fchmod(handle, 0o644)
    os.fsync(handle)


def _flush_folder(full: str) -> None:
    """Make a new name survive a power cut, where the file system allows flushing a folder."""
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
    """Turn an OSError into one line that says what to do."""
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
