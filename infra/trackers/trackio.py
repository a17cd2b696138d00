"""Trackio, local: `<folder>/trackio/<project>.db`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from infra.trackers.protocol import Row, TrackedRun, Tracker

if TYPE_CHECKING:
    from data.backends import TrackioConfig


class TrackioTracker(Tracker):
    """A run known by its name, which is the run's id. Links are among its values."""

    def __init__(self, config: TrackioConfig, run: TrackedRun) -> None:
        # Read when it is imported. What these name is elsewhere, and could not be asked what it has.
        os.environ["TRACKIO_DIR"] = str(run.folder / "trackio")
        for elsewhere in ("TRACKIO_SERVER_URL", "TRACKIO_SPACE_ID"):
            os.environ.pop(elsewhere, None)
        import trackio
        from trackio.sqlite_storage import SQLiteStorage

        rows = SQLiteStorage.get_logs(config.project, run.id)
        self._rows = len(rows)
        self._steps = {
            name: int(value) for row in rows for name, value in row.items() if name.endswith("/step")
        }
        self._run: Any = trackio.init(
            config.project,
            name=run.id,
            config=dict(run.config),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def last_step(self, series: str) -> int | None:
        return self._steps.get(f"{series}/step")

    def log(self, row: Row) -> None:
        links = {f"artifacts/{name}": uri for name, uri in row.links.items()}
        self._run.log({**row.named(), **links}, step=self._rows)
        self._rows += 1

    def flush(self) -> None:
        """Trackio's own thread writes by itself, within a second."""

    def close(self, finished: bool) -> None:
        self._run.finish()


open_backend = TrackioTracker
