"""What a run's experiment trackers are told: each training step as it ends, and each finished stage.

Steps of a training count on from iteration to iteration: `train_solver/reward_mean` is one line. Figures of
stages are drawn over the iteration: `iteration/evaluate/pass@1`. What a tracker lacks of what the store holds
it is told before anything newer, so every step is there once and in order, wherever a run was killed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from data.config import RunConfig
from infra.artifacts.artifact import manifest_of, read_table
from infra.keys import without_secrets
from infra.run_log import run_log
from infra.store.store import Store
from infra.store.tables import parquet_table
from infra.trackers.open import tracked_run
from infra.trackers.outlet import Outlet
from infra.trackers.protocol import Row
from tasks.stage.graph import STAGES
from tasks.stage.walk import Step, walk
from tasks.stage.work import Work

_open: dict[tuple[str, str], _Tracking] = {}
"""By store and run: what tells the trackers of the runs that this process works for."""
_given_up: set[tuple[str, str, str]] = set()
"""Store, run and tracker of those that have failed in this process: one warning is enough."""


@contextmanager
def tracked(config: RunConfig, iteration: int) -> Iterator[Callable[[], None]]:
    """Track the run within; call what is yielded whenever a stage has finished.

    What fails here is one warning a tracker, and fails no run.
    """
    place = (Store(config.store).uri, config.run)
    if not config.trackers or place in _open:
        yield lambda: None
        return
    _open[place] = tracking = _Tracking(config, iteration, place)
    tracking.tell_finished()
    try:
        yield tracking.tell_finished
    finally:
        del _open[place]
        tracking.close()


def track_steps(work: Work) -> Callable[[int, Mapping[str, float]], None]:
    """Tells the trackers of each step of a training; of the steps before its first one, what is known."""
    tracking = _open.get((work.store.uri, work.location.run))
    begun = False

    def track(step: int, metrics: Mapping[str, float]) -> None:
        nonlocal begun
        if tracking is None:
            return
        if not begun and step > 1:
            tracking.tell_steps_before(work, step)
        begun = True
        tracking.tell_step(work.stage.name, work.iteration, step, metrics)

    return track


class _Tracking:
    """The trackers of a run, while this process works for one of its iterations."""

    def __init__(self, config: RunConfig, iteration: int, place: tuple[str, str]) -> None:
        self._config, self._iteration, self._place = config, iteration, place
        self._store, self._log = Store(config.store), run_log()
        self._told: set[str] = set()
        self._has_warned = False
        self._outlets: list[Outlet] = []
        with self._guarded():
            for tracker in config.trackers:
                if (*place, tracker.backend) not in _given_up:
                    run = tracked_run(self._store, config, tracker)
                    self._outlets.append(Outlet(tracker, run, self._log.warning))

    def tell_finished(self) -> None:
        """Tell of all stages that have finished and were not told of yet."""
        with self._guarded():
            for step in walk(self._store, self._config, self._iteration) if self._outlets else ():
                if step.ref is not None and step.ref.uri not in self._told:
                    self._tell_stage(step)
                    self._told.add(step.ref.uri)

    def tell_step(self, stage: str, iteration: int, step: int, metrics: Mapping[str, Any]) -> None:
        """Tell of one step of a training."""
        before = (iteration - 1) * getattr(self._config, STAGES[stage].role[0]).steps if iteration else 0
        self._put(Row(stage, before + step, _numbers(metrics)))

    def tell_steps_before(self, work: Work, step: int) -> None:
        """Tell of the steps that the checkpoint holds which the training has gone on from."""
        with self._guarded():
            content = work.checkpoints().newest_file("metrics.parquet")
            for row in parquet_table(content).to_pylist() if content else ():
                if row["step"] < step:
                    self.tell_step(work.stage.name, work.iteration, row["step"], row)

    def close(self) -> None:
        """End the trackers, each within its deadline."""
        finished = False
        with self._guarded():
            steps = walk(self._store, self._config, self._config.iterations) if self._outlets else []
            finished = all(step.ref is not None for step in steps)
        for outlet in self._outlets:
            outlet.close(finished)
            if outlet.has_failed:
                _given_up.add((*self._place, outlet.name))

    def _tell_stage(self, step: Step) -> None:
        assert step.ref is not None
        if "metrics" in STAGES[step.stage].tables:
            for row in read_table(self._store, step.ref, "metrics").to_pylist():
                self.tell_step(step.stage, step.iteration, row["step"], row)
        figures = _numbers(manifest_of(self._store, step.ref).figures)
        links = {f"iteration={step.iteration}/{step.stage}": step.ref.uri}
        self._put(Row(f"iteration/{step.stage}", step.iteration, figures, links))

    def _put(self, row: Row) -> None:
        for outlet in self._outlets:
            outlet.put(row)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """What fails within is a warning, once."""
        try:
            yield
        except Exception as error:
            if not self._has_warned:
                self._log.warning(f"trackers could not be told: {without_secrets(str(error))}")
            self._has_warned = True


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """What of these can be drawn: finite numbers, but the step."""
    numbers = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
    return {name: value for name, value in numbers.items() if math.isfinite(value) and name != "step"}
