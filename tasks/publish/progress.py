"""Live progress in Prefect's UI: one bar per stage, moved by training steps and shards."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from uuid import UUID

from infra.artifacts.parts import finished_parts
from tasks.publish.shown import key_of, show, take_away
from tasks.stage.work import Work

_SECONDS_BETWEEN = 2.0
"""The server is updated no more often than this, except at the end."""


@dataclass
class _Bar:
    artifact_id: UUID
    told_at: float
    percent: float


_lock = threading.Lock()
_bars: dict[tuple[str, str], _Bar] = {}


def report_progress(work: Work, done: int, total: int, of: str) -> None:
    """Show that `done` of `total` steps or shards are done; does nothing outside a flow run.

    A failure to show it is logged and never fails the work.
    """
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    if context is None or context.flow_run is None or total <= 0:
        return
    percent = 100.0 * min(done, total) / total
    with _lock:
        try:
            _tell(
                work, (str(context.flow_run.id), work.location.path), percent, f"{done} of {total} {of} done"
            )
        except Exception as error:
            work.log.warning(f"{work.stage.name}: its progress could not be shown in Prefect: {error}")


def report_parts(work: Work, total: int) -> None:
    """Show how many of the stage's shards are finished in the store."""
    report_progress(work, finished_parts(work.store, work.location), total, "shards")


def _tell(work: Work, name: tuple[str, str], percent: float, shown: str) -> None:
    from prefect.artifacts import update_progress_artifact

    description = f"{work.stage.name}, iteration {work.iteration} of {work.location.run}: {shown}"
    bar, now = _bars.get(name), time.monotonic()
    if bar is None:
        _bars[name] = _Bar(show("progress", _key(work), percent, description), now, percent)
    elif percent > bar.percent and (percent == 100.0 or now - bar.told_at >= _SECONDS_BETWEEN):
        update_progress_artifact(bar.artifact_id, percent, description)
        bar.told_at, bar.percent = now, percent


def end_progress(work: Work) -> None:
    """Take the bar of a finished stage away."""
    take_away(_key(work))


def stage_key(work: Work) -> str:
    """Prefect's key for what a stage shows, the same in every run of the same work."""
    return key_of(work.location.run, "iteration", work.iteration, work.stage.name)


def _key(work: Work) -> str:
    return f"{stage_key(work)}-progress"
