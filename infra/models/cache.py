"""Local copies of models by digest, limited in size, safe for several processes on one machine.

    <root>/<digest>/            a whole, verified model
    <root>/.partial-<digest>/   one being fetched; a killed fetch is resumed
    <root>/.lock-<digest>       shared by those who use or want it; nobody drops it then
    <root>/.fetch-<digest>      held by the one who fetches

The kernel frees locks at death. They are two: whoever waited to have alone what others share for as long as
they use the model would wait that long.

A process keeps its last few models in use, so that none is dropped between being asked for and loaded. The
least recently used model goes first; one in use by any process is never dropped.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from infra.store.store import StoreError

ROOT = "RZERO_CACHE"
LIMIT = "RZERO_CACHE_GIB"
_DEFAULT_GIB = 100.0
_PARTIAL = ".partial-"
_LOCK = ".lock-"
_FETCH = ".fetch-"

_held: OrderedDict[Path, int] = OrderedDict()
_held_lock = threading.Lock()


class ModelCache:
    """A folder with models by digest; each process keeps the last `in_use` that it asked for in use."""

    def __init__(self, root: Path, limit_bytes: int, in_use: int = 4) -> None:
        self.root = root
        self.limit_bytes = limit_bytes
        self.in_use = in_use

    @classmethod
    def from_environment(cls) -> ModelCache:
        """The cache at `$RZERO_CACHE`, of at most `$RZERO_CACHE_GIB`."""
        given = os.environ.get(LIMIT, "")
        try:
            gib = float(given) if given else _DEFAULT_GIB
        except ValueError:
            raise StoreError(f"{LIMIT} is {given!r}, not a number of GiB") from None
        root = Path(os.environ.get(ROOT) or "~/.cache/rzero/models").expanduser()
        return cls(root, int(gib * 1024**3))

    def folder(self, digest: str, size_bytes: int, fetch: Callable[[Path], None]) -> Path:
        """The folder of a model, filled by `fetch` if it is new; of several processes only one fetches."""
        final = self.root / digest
        with _held_lock:
            if final in _held:
                _held.move_to_end(final)
                os.utime(final)
                return final
        self.root.mkdir(parents=True, exist_ok=True)
        handle = self._lock(_LOCK, digest)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
            if not final.is_dir():
                self._fetch(final, size_bytes, fetch)
            os.utime(final)
        except BaseException:
            os.close(handle)
            raise
        with _held_lock:
            _release(final)
            _held[final] = handle
            while len(_held) > self.in_use:
                _release(next(iter(_held)))
        return final

    def _fetch(self, final: Path, size_bytes: int, fetch: Callable[[Path], None]) -> None:
        alone = self._lock(_FETCH, final.name)
        try:
            fcntl.flock(alone, fcntl.LOCK_EX)
            # Another one may have fetched it meanwhile.
            if not final.is_dir():
                self.make_room(size_bytes)
                partial = self.root / f"{_PARTIAL}{final.name}"
                partial.mkdir(exist_ok=True)
                fetch(partial)
                partial.rename(final)
        finally:
            os.close(alone)

    def _lock(self, kind: str, digest: str) -> int:
        return os.open(self.root / f"{kind}{digest}", os.O_RDWR | os.O_CREAT, 0o644)

    def make_room(self, size_bytes: int) -> None:
        """Drop the least recently used models that nobody uses until this many bytes fit."""
        entries = []
        for path in self.root.iterdir():
            if not path.is_dir():
                continue
            with contextlib.suppress(FileNotFoundError):
                entries.append((path.stat().st_mtime, _folder_bytes(path), path))
        used = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if used + size_bytes <= self.limit_bytes:
                return
            if self._drop(path):
                used -= size

    def _drop(self, path: Path) -> bool:
        """Remove a model unless a process uses it; whether it is gone."""
        digest = path.name.removeprefix(_PARTIAL)
        handle = self._lock(_LOCK, digest)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        else:
            doomed = self.root / f"{_PARTIAL}dropped-{digest}-{os.getpid()}-{time.monotonic_ns()}"
            path.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
            return True
        finally:
            os.close(handle)


def _release(final: Path) -> None:
    """Stop using the model in this process."""
    handle = _held.pop(final, None)
    if handle is not None:
        os.close(handle)


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
