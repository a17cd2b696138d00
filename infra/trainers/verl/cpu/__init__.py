"""What verl 0.9.1 and vLLM lack to run without an accelerator; for tests and CI, not for work."""

from __future__ import annotations

import time
from typing import Any

_START_SECONDS = 600.0
_LOOK_EVERY_SECONDS = 1.0


def wait_longer_for_ray() -> None:
    """Let `ray.init` wait up to ten minutes for its node.

    Ray allows half a minute, which is too short on the shared cores of a laptop or of CI.
    """
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
