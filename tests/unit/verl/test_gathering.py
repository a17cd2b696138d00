"""Rewards of a whole batch although verl scores one rollout at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from infra.trainers.verl.gather import Gather

QUIET_SECONDS = 0.05


class Scorer:
    """Scores a sample by its place in the sorted batch; remembers what it was handed."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[Any]]] = []

    async def __call__(self, batch: str, samples: Sequence[Any]) -> list[float]:
        self.batches.append((batch, list(samples)))
        await asyncio.sleep(0)
        return [float(sorted(samples).index(sample)) for sample in samples]


def test_every_sample_waits_for_its_batch_and_gets_its_own_score() -> None:
    scorer = Scorer()

    async def run() -> list[float]:
        gather = Gather(scorer, 60.0)
        return await asyncio.gather(*(gather.score("step-1", 4, sample) for sample in (30, 10, 40, 20)))

    assert asyncio.run(run()) == [2.0, 0.0, 3.0, 1.0]
    assert scorer.batches == [("step-1", [30, 10, 40, 20])]


def test_batches_that_overlap_and_differ_in_size_are_told_apart() -> None:
    scorer = Scorer()

    async def run() -> list[float]:
        gather = Gather(scorer, 60.0)
        asked = [("step-2", 3, 7), ("validation", 1, 5), ("step-2", 3, 9), ("step-3", 2, 1), ("step-2", 3, 8)]
        asked.append(("step-3", 2, 0))
        return await asyncio.gather(*(gather.score(*each) for each in asked))

    assert asyncio.run(run()) == [0.0, 0.0, 2.0, 1.0, 1.0, 0.0]
    assert sorted((name, len(samples)) for name, samples in scorer.batches) == [
        ("step-2", 3),
        ("step-3", 2),
        ("validation", 1),
    ]


def test_a_batch_that_does_not_come_together_fails_for_all_its_samples() -> None:
    scorer = Scorer()

    async def run() -> list[Any]:
        gather = Gather(scorer, QUIET_SECONDS)
        return await asyncio.gather(
            *(gather.score("step-1", 3, sample) for sample in (1, 2)), return_exceptions=True
        )

    failures = asyncio.run(run())
    assert [type(failure) for failure in failures] == [TimeoutError, TimeoutError]
    assert "2 of 3 rollouts came" in str(failures[0])
    assert scorer.batches == []


def test_the_time_out_counts_from_the_last_sample_and_not_while_the_batch_is_scored() -> None:
    async def slowly(batch: str, samples: Sequence[Any]) -> list[float]:
        await asyncio.sleep(4 * QUIET_SECONDS)
        return [1.0] * len(samples)

    async def run() -> list[float]:
        gather = Gather(slowly, QUIET_SECONDS)
        return await asyncio.gather(*(gather.score("step-1", 2, sample) for sample in (1, 2)))

    assert asyncio.run(run()) == [1.0, 1.0]


def test_what_the_scoring_raises_reaches_every_sample() -> None:
    async def broken(batch: str, samples: Sequence[Any]) -> list[float]:
        raise RuntimeError("the Solver is gone")

    async def run() -> list[Any]:
        gather = Gather(broken, 60.0)
        return await asyncio.gather(
            *(gather.score("step-1", 2, sample) for sample in (1, 2)), return_exceptions=True
        )

    assert [str(failure) for failure in asyncio.run(run())] == ["the Solver is gone"] * 2


def test_too_few_scores_are_an_error() -> None:
    async def short(batch: str, samples: Sequence[Any]) -> list[float]:
        return [1.0]

    async def run() -> float:
        gather = Gather(short, 60.0)
        first, _ = await asyncio.gather(gather.score("b", 2, 1), gather.score("b", 2, 2))
        return first

    with pytest.raises(RuntimeError, match="1 scores for 2 samples"):
        asyncio.run(run())
