"""Live progress: a bar per stage in Prefect's UI, a note in the stage's lease, and whoever listens here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from uuid import UUID

from infra.artifacts.parts import finished_parts
from infra.words import plural
from tasks.publish.shown import key_of, show, take_away
from tasks.stage.work import Work

_SECONDS_BETWEEN = 2.0
"""The server is updated no more often than this, except at the end."""
_WHOLE = "stages"


@dataclass(frozen=True)
class Progress:
    """How far the work on a stage is; `total` 0 before it is known, `seconds_left` None likewise."""

    done: int
    total: int
    unit: str
    seconds_left: float | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the stage is finished, not only all that was counted."""
        return self.unit == _WHOLE

    def __str__(self) -> str:
        if self.is_finished:
            return "finished"
        if not self.total:
            return "begun"
        return f"{self.done} of {plural(self.total, self.unit.removesuffix('s'))}"


@dataclass(frozen=True)
class _Count:
    """The first count of a work in this process, from which its speed follows."""

    done: int
    at: float


@dataclass
class _Bar:
    artifact_id: UUID
    told_at: float
    percent: float


listeners: list[Callable[[str, int, str, Progress], None]] = []
"""Called with the run, the iteration, the stage and the progress, in the thread of the work."""

_lock = threading.Lock()
_counting = threading.Lock()
_bars: dict[tuple[str, str], _Bar] = {}
_counts: dict[str, _Count] = {}


def report_begun(work: Work) -> None:
    """Show that the work on a stage has begun, before there is anything to count."""
    work.log.info(f"{work.stage.name}: begins")
    _report(work, Progress(0, 0, ""))


def report_progress(
    work: Work, done: int, total: int, of: str, clock: Callable[[], float] = time.monotonic
) -> None:
    """Show that `done` of `total` steps or shards are done, with the seconds left at the pace so far.

    A failure to show it is logged and never fails the work.
    """
    now, seconds_left = clock(), None
    with _lock:
        # What a checkpoint or an earlier process had done says nothing of the pace.
        first = _counts.setdefault(work.location.path, _Count(done, now))
    if done > first.done:
        seconds_left = (now - first.at) / (done - first.done) * (total - done)
    _report(work, Progress(done, total, of, seconds_left))


def report_parts(work: Work, total: int, one_more: bool = False) -> None:
    """Show how many of the stage's shards are finished in the store; where it is `one_more`, log it."""
    # Shards end side by side: counted and told one after the other, or fewer would follow on more.
    with _counting:
        done = finished_parts(work.store, work.location)
        report_progress(work, done, total, "shards")
        if one_more:
            work.log.info(f"{work.stage.name}: {done} of {plural(total, 'shard')}")


def end_progress(work: Work) -> None:
    """Say that a stage is finished, whatever was counted, and take its bar away."""
    _note(work, Progress(1, 1, _WHOLE))
    take_away(_key(work))


def _note(work: Work, progress: Progress) -> None:
    if work.lease is not None:
        work.lease.note = asdict(progress)
    for listener in listeners:
        listener(work.location.run, work.iteration, work.stage.name, progress)


def _report(work: Work, progress: Progress) -> None:
    from prefect.context import FlowRunContext

    _note(work, progress)
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    with _lock:
        try:
            _tell(work, (str(context.flow_run.id), work.location.path), progress)
        except Exception as error:
            work.log.warning(f"{work.stage.name}: its progress could not be shown in Prefect: {error}")


def _tell(work: Work, name: tuple[str, str], progress: Progress) -> None:
    from prefect.artifacts import update_progress_artifact

    percent = 100.0 * min(progress.done, progress.total) / progress.total if progress.total else 0.0
    description = f"{work.stage.name}, iteration {work.iteration} of {work.location.run}: {progress}"
    bar, now = _bars.get(name), time.monotonic()
    if bar is None:
        _bars[name] = _Bar(show("progress", _key(work), percent, description), now, percent)
    elif percent > bar.percent and (percent == 100.0 or now - bar.told_at >= _SECONDS_BETWEEN):
        update_progress_artifact(bar.artifact_id, percent, description)
        bar.told_at, bar.percent = now, percent


def stage_key(work: Work) -> str:
    """Prefect's key for what a stage shows, the same in every run of the same work."""
    return key_of(work.location.run, "iteration", work.iteration, work.stage.name)


def _key(work: Work) -> str:
    return f"{stage_key(work)}-progress"
