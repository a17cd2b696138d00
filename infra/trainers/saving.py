"""Checkpoints go to the store in the background, while the training goes on."""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from infra.trainers.protocol import Checkpoints

log = logging.getLogger("rzero.stage")


class Saving:
    """Publishes folders as checkpoints, one at a time; a context manager, which ends with the last one saved.

    What publishing raises comes from the next call or the end; where the training has failed by itself, that
    failure is the one to tell.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints
        self._thread = ThreadPoolExecutor(1, "checkpoints")
        self._under_way: Future[None] | None = None

    def save(self, step: int, folder: Path) -> None:
        """Publish the folder and remove it; first wait for the checkpoint before, if that is under way."""
        self._wait()
        self._under_way = self._thread.submit(self._publish, step, folder)

    def _publish(self, step: int, folder: Path) -> None:
        try:
            self._checkpoints.save(step, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _wait(self) -> None:
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def __enter__(self) -> Saving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._wait()
        except Exception as unsaved:
            if kind is None:
                raise
            log.warning("the last checkpoint was not saved: %s", unsaved)
        finally:
            self._thread.shutdown()
