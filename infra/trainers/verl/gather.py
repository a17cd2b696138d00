"""Scores a batch as a whole although its samples come one at a time.

verl scores each rollout by itself; the repetition penalty needs all of them. Every sample names its batch and
that batch's size, so batches may differ in size and overlap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

ScoreBatch = Callable[[str, Sequence[Any]], Awaitable[Sequence[float]]]
"""From a batch's name and samples to a score for each, in order."""

_Batch = tuple[list[Any], asyncio.Future[list[float]]]
"""The samples so far, and their scores in the same order."""


class Gather:
    """Holds each sample back until its batch is complete; for one event loop."""

    def __init__(self, score_batch: ScoreBatch, timeout_seconds: float) -> None:
        self._score_batch = score_batch
        self._timeout_seconds = timeout_seconds
        self._batches: dict[str, _Batch] = {}

    async def score(self, batch: str, size: int, sample: Any) -> float:
        """The score of a sample of the batch with this name, which has `size` samples.

        TimeoutError if no other sample of it comes for `timeout_seconds`. An error of the scoring is raised
        for every sample of the batch.
        """
        if batch not in self._batches:
            self._batches[batch] = ([], asyncio.get_running_loop().create_future())
        samples, outcome = self._batches[batch]
        place = len(samples)
        samples.append(sample)
        if len(samples) == size:
            del self._batches[batch]
            await self._release(batch, samples, outcome)
        while not outcome.done():
            come = len(samples)
            await asyncio.wait([outcome], timeout=self._timeout_seconds)
            # A complete batch is being scored, for as long as that takes.
            if not outcome.done() and len(samples) == come < size:
                self._batches.pop(batch, None)
                seconds = f"{self._timeout_seconds:g} s"
                outcome.set_exception(
                    TimeoutError(f"batch {batch}: {come} of {size} rollouts came, then none for {seconds}")
                )
        return outcome.result()[place]

    async def _release(self, name: str, samples: list[Any], outcome: asyncio.Future[list[float]]) -> None:
        try:
            scores = list(await self._score_batch(name, samples))
            if len(scores) != len(samples):
                raise RuntimeError(f"batch {name}: {len(scores)} scores for {len(samples)} samples")
            outcome.set_result(scores)
        except Exception as error:
            outcome.set_exception(error)
