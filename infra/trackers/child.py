"""The tracker's own process: what its library prints, starts or breaks stays here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from data.backends import TrackerConfig
from infra.jobs.channel import Channel
from infra.trackers.open import open_tracker
from infra.trackers.protocol import Row, TrackedRun


def track(spec: Mapping[str, Any], channel: Channel) -> None:
    """Log the rows that are asked for, each step of a series once and in order."""
    for output in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    run = TrackedRun(**(spec["run"] | {"folder": Path(spec["run"]["folder"])}))
    run.folder.mkdir(parents=True, exist_ok=True)
    tracker = open_tracker(TypeAdapter(TrackerConfig).validate_python(spec["config"]), run)
    channel.say("ready")
    newest: dict[str, int | None] = {}
    for request in channel.requests():
        if "row" not in request:
            tracker.close(request["finished"])
            return
        row = Row(**request["row"])
        if row.series not in newest:
            newest[row.series] = tracker.last_step(row.series)
        last = newest[row.series]
        if last is None or row.step > last:
            tracker.log(row)
            tracker.flush()
            newest[row.series] = row.step
        channel.say("logged")
