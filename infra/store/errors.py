"""What can go wrong with a store, and how it is retried."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

PATIENCE = "RZERO_STORE_PATIENCE_SECONDS"
_DEFAULT_PATIENCE_SECONDS = 60.0

T = TypeVar("T")
log = logging.getLogger("rzero.store")


class StoreError(Exception):
    """The store cannot do what was asked; the message says where and why, in one line."""


class StoreUnavailable(StoreError):
    """The store did not answer in time. It may later, so what failed is worth another try."""

    retryable = True


class DigestMismatch(StoreError):
    """A file does not have the sha256 that was promised."""


def patience_seconds() -> float:
    """How long one request is retried: `$RZERO_STORE_PATIENCE_SECONDS`, by default a minute."""
    given = os.environ.get(PATIENCE, "")
    try:
        return max(0.0, float(given)) if given else _DEFAULT_PATIENCE_SECONDS
    except ValueError:
        raise StoreError(f"{PATIENCE} is {given!r}, not a number of seconds") from None


@dataclass
class Retries:
    """Retries what failed transiently, with growing delays, until the patience is spent.

    The jitter of the delays comes from a generator of its own, so no seed of a run is touched.
    """

    patience_seconds: float
    first_delay_seconds: float = 0.1
    longest_delay_seconds: float = 8.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _random: random.Random = field(default_factory=random.Random, repr=False)

    def run(self, request: Callable[[int], T], passes: Callable[[Exception], bool], what: str) -> T:
        """The answer to `request(attempt)`; its last error if that does not pass or patience ends."""
        begun = self.clock()
        delay = self.first_delay_seconds
        attempt = 1
        while True:
            try:
                return request(attempt)
            except Exception as error:
                pause = delay * self._random.uniform(0.5, 1.0)
                if not passes(error) or self.clock() - begun + pause > self.patience_seconds:
                    raise
                name = type(error).__name__
            log.warning("%s: attempt %d failed (%s); again in %.1f s", what, attempt, name, pause)
            self.sleep(pause)
            delay = min(2 * delay, self.longest_delay_seconds)
            attempt += 1
