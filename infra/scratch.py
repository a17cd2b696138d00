"""Temporary folders. What a killed process left is removed by the next one that needs a folder there."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from types import TracebackType

PREFIX = "rzero."


class ScratchFolder:
    """A temporary folder, a context manager that gives its path; removed at the latest with this object.

    Its lock is held while a process works in it, forked ones included, and ends with them however they end.
    """

    def __init__(self, kind: str, parent: Path | None = None) -> None:
        place = Path(tempfile.gettempdir()) if parent is None else parent
        _remove_abandoned_once(place)
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-", dir=place))
            lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            # Shared, which every file system grants to a reader.
            fcntl.flock(lock, fcntl.LOCK_SH)
            if self.path.exists():
                break
            os.close(lock)
        self._end = weakref.finalize(self, _remove, self.path, lock)

    def remove(self) -> None:
        """Remove it with all that is in it."""
        self._end()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.remove()


def remove_abandoned(place: Path) -> None:
    """Remove the folders in `place` that no living process works in; others', and what is no folder, stay."""
    for path in place.glob(f"{PREFIX}*"):
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_uid == os.getuid():
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue
        finally:
            os.close(lock)


_remove_abandoned_once = functools.cache(remove_abandoned)


def _remove(path: Path, lock: int) -> None:
    shutil.rmtree(path, ignore_errors=True)
    os.close(lock)
