"""From a configuration to a tracker. The backend X is `infra/trackers/X.py`, which exposes `open_backend`."""

from __future__ import annotations

import json
import re
import uuid
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from data.config import RunConfig
from data.resolve import ConfigError
from infra.keys import without_secrets
from infra.store.store import Store
from infra.trackers.protocol import TrackedRun, Tracker

if TYPE_CHECKING:
    from data.backends import TrackerConfig

_ID = re.compile(rb"[0-9a-f]{12}")


def open_tracker(config: TrackerConfig, run: TrackedRun) -> Tracker:
    """The run in its tracker, new or as it was left; raises whatever the tracker raises."""
    tracker: Tracker = import_module(f"infra.trackers.{config.backend}").open_backend(config, run)
    return tracker


def check_trackers(config: RunConfig) -> None:
    """ConfigError where a tracker's package is not installed here."""
    for tracker in config.trackers:
        if find_spec(tracker.package) is None:
            raise ConfigError(
                f"trackers: {tracker.backend} is not installed: pip install 'rzero[{tracker.backend}]', or "
                "leave it out"
            )


def tracked_run(store: Store, config: RunConfig, tracker: TrackerConfig) -> TrackedRun:
    """The run as this tracker knows it, the same whenever it is resumed, also where the store has moved.

    StoreError where the store does not answer; ValueError where its file does not hold an id.
    """
    path = f"runs/{config.run}/tracker-id"
    store.create(path, uuid.uuid4().hex[:12].encode())
    found = store.read(path)
    if not _ID.fullmatch(found):
        raise ValueError(f"{store.uri_of(path)} does not hold 12 hexadecimal digits")
    default = Path(store.root) / "trackers" if store.is_local else Path("rzero-trackers")
    folder = Path(tracker.folder).expanduser() if tracker.folder else default
    return TrackedRun(
        id=f"{config.run}-{found.decode()}",
        name=config.run,
        folder=folder.absolute(),
        config=json.loads(without_secrets(config.model_dump_json())),
    )
