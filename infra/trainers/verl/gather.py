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


class GatherTimeout(RuntimeError):
    """A batch was not complete in time."""


class Gather:
    """Holds each sample back until its batch is complete; for one event loop."""

    def __init__(self, score_batch: ScoreBatch, timeout_seconds: float) -> None:
        self._score_batch = score_batch
        self._timeout_seconds = timeout_seconds
        self._batches: dict[str, _Batch] = {}

    async def score(self, batch: str, size: int, sample: Any) -> float:
        """The score of a sample of the batch with this name, which has `size` samples.

        GatherTimeout if no other sample of it comes for `timeout_seconds`. An error of the scoring is
        raised for every sample of the batch.
        """
        if batch not in self._batches:
            self._batches[batch] = _Batch()
        gathered = self._batches[batch]
        place = len(gathered.samples)
        gathered.samples.append(sample)
        if len(gathered.samples) == size:
            del self._batches[batch]
            await self._release(batch, gathered)
        else:
            await self._wait(batch, size, gathered)
        return gathered.outcome.result()[place]

    async def _release(self, name: str, gathered: _Batch) -> None:
        try:
            scores = list(await self._score_batch(name, gathered.samples))
            if len(scores) != len(gathered.samples):
                raise RuntimeError(f"batch {name}: {len(scores)} scores for {len(gathered.samples)} samples")
            gathered.outcome.set_result(scores)
        except Exception as error:
            gathered.outcome.set_exception(error)

    async def _wait(self, name: str, size: int, gathered: _Batch) -> None:
        while not gathered.outcome.done():
            come = len(gathered.samples)
            done, _ = await asyncio.wait([gathered.outcome], timeout=self._timeout_seconds)
            # A complete batch is being scored, for as long as that takes.
            if not done and len(gathered.samples) == come < size and not gathered.outcome.done():
                self._batches.pop(name, None)
                gathered.outcome.set_exception(
                    GatherTimeout(
                        f"batch {name}: {come} of {size} rollouts came, then none for "
                        f"{self._timeout_seconds:g} s"
                    )
                )


class _Batch:
    """The samples so far, and their outcome: scores in the same order, or an error."""

    def __init__(self) -> None:
        self.samples: list[Any] = []
        self.outcome: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()
