"""Runs share the device: a stage that uses it takes a slot of a global concurrency limit.

`RZERO_DEVICE_LIMIT` names the limit (the deployments set it to `gpu`). Without it nothing is limited,
and a limit that the server does not have lets everything through.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from tasks.stage.graph import Stage

LEASE_SECONDS = 60.0
"""How long a killed holder keeps its slot."""

_lock = threading.Lock()
_users = 0
_held = contextlib.ExitStack()


@contextlib.contextmanager
def device_slot(stage: Stage, gathers: bool = False) -> Iterator[None]:
    """Hold a slot while the stage works; the shards of one process share a sampler and so a slot.

    A stage that only `gathers` the work of its shards needs none.
    """
    name = os.environ.get("RZERO_DEVICE_LIMIT")
    if not name or gathers or not stage.uses_device:
        yield
        return
    from prefect.concurrency.sync import concurrency

    global _users
    with _lock:
        if _users == 0:
            _held.enter_context(concurrency(name, occupy=1, lease_duration=LEASE_SECONDS, strict=False))
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _held.close()
