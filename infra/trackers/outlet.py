"""The run's side of a tracker: a bounded queue, a thread that empties it, and a process that may fail."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from infra.jobs.errors import DeviceError
from infra.jobs.process import DeviceJob
from infra.keys import without_secrets
from infra.trackers.protocol import Row, TrackedRun

if TYPE_CHECKING:
    from data.backends import TrackerConfig

_ENDING_SECONDS = 10.0


class Outlet:
    """One tracker of a run. It never raises and never waits, `close` excepted, which has a deadline.

    Whatever goes wrong is one call of `warn`; from then on nothing is tracked here.
    """

    def __init__(
        self,
        config: TrackerConfig,
        run: TrackedRun,
        warn: Callable[[str], None],
        most_rows: int = 10_000,
        start_seconds: float = 300.0,
        answer_seconds: float = 60.0,
    ) -> None:
        self.name = config.backend
        self.has_failed = False
        self._warn, self._start_seconds, self._answer_seconds = warn, start_seconds, answer_seconds
        self._spec = {
            "config": config.model_dump(mode="json"),
            "run": asdict(run) | {"folder": str(run.folder)},
        }
        self._rows: queue.Queue[Row | bool] = queue.Queue(most_rows)
        self._job: DeviceJob | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def put(self, row: Row) -> None:
        """Have a row logged, soon."""
        self._put(row)

    def close(self, finished: bool, deadline_seconds: float = 120.0) -> None:
        """Let what is under way be logged, and end the tracker's process."""
        self._put(finished)
        self._thread.join(_ENDING_SECONDS if self.has_failed else deadline_seconds)
        if self._thread.is_alive() and not self.has_failed:
            self._fail(f"{self.name}: was not done {deadline_seconds:g} s after the end")
            self._thread.join(_ENDING_SECONDS)

    def _put(self, item: Row | bool) -> None:
        if self.has_failed:
            return
        try:
            self._rows.put_nowait(item)
        except queue.Full:
            self._fail(f"{self.name}: does not keep up: {self._rows.maxsize} rows wait")

    def _serve(self) -> None:
        # Backends choose for themselves; a device job's variables switch W&B off.
        environment = {"WANDB_MODE": "offline", "MLFLOW_DISABLE_TELEMETRY": "true"}
        try:
            with DeviceJob(
                self.name, "infra.trackers.child:track", self._spec, sys.executable, environment
            ) as job:
                self._job = job
                if self.has_failed:
                    return
                job.wait_for("ready", self._start_seconds, "its start")
                while not isinstance(item := self._rows.get(), bool):
                    job.ask(row=asdict(item))
                    job.wait_for("logged", self._answer_seconds, "a row")
                job.ask(finished=item)
                job.wait_for("done", self._answer_seconds, "its end")
        except (DeviceError, OSError, ValueError) as error:
            self._fail(str(error))

    def _fail(self, why: str) -> None:
        with self._lock:
            if self.has_failed:
                return
            self.has_failed = True
        self._warn(
            f"tracker {without_secrets(' '.join(why.split()))}; this process goes on without it, and the "
            "run's next start logs what is missing"
        )
        if self._job is not None and threading.current_thread() is not self._thread:
            # A process that hangs is asked for seconds before it is killed.
            with contextlib.suppress(RuntimeError):
                threading.Thread(target=self._job.kill, daemon=True).start()
