"""Ray allows its own start half a minute; on the shared cores of a laptop or of CI it needs more."""

from __future__ import annotations

import time
from typing import Any

_START_SECONDS = 600.0
_LOOK_EVERY_SECONDS = 1.0


def wait_longer_for_ray() -> None:
    """Let `ray.init` wait for its node as long as it takes, up to ten minutes."""
    from ray._private import services

    asked_once = services.get_node

    def get_node(*arguments: Any, **named: Any) -> Any:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                return asked_once(*arguments, **named)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK_EVERY_SECONDS)

    services.get_node = get_node
