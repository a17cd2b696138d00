"""Retry what failed for a moment (a store, an endpoint), with growing pauses."""

from __future__ import annotations

import logging
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
log = logging.getLogger("rzero.retries")


@dataclass
class Retries:
    """How often something is tried, and for how long.

    The pauses have jitter from a generator of their own: no seed of a run is touched.
    """

    patience_seconds: float = math.inf
    first_delay_seconds: float = 0.1
    longest_delay_seconds: float = 8.0
    attempts: int = sys.maxsize
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _random: random.Random = field(default_factory=random.Random, repr=False)

    def pauses(self) -> Iterator[float]:
        """The pause before each attempt, 0 before the first; ends when attempts or patience are spent."""
        begun, delay = self.clock(), self.first_delay_seconds
        yield 0.0
        for _ in range(1, self.attempts):
            pause = delay * self._random.uniform(0.5, 1.0)
            if self.clock() - begun + pause > self.patience_seconds:
                return
            yield pause
            delay = min(2 * delay, self.longest_delay_seconds)

    def run(self, request: Callable[[int], T], passes: Callable[[Exception], bool], what: str) -> T:
        """The result of `request(attempt)`; raises an error that does not pass, or the last one of all."""
        failure: Exception | None = None
        for attempt, pause in enumerate(self.pauses(), 1):
            if failure is not None:
                name = type(failure).__name__
                log.warning("%s: attempt %d failed (%s); again in %.1f s", what, attempt - 1, name, pause)
                self.sleep(pause)
            try:
                return request(attempt)
            except Exception as error:
                if not passes(error):
                    raise
                failure = error
        assert failure is not None
        raise failure
