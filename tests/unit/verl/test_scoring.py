"""Batches reach the stage and their scores come back, through an actor and the job's pipe."""

from __future__ import annotations

import asyncio

from infra.trainers.verl.scoring import Exchange, one_line


def test_a_batch_waits_for_its_scores_and_a_failure_is_heard() -> None:
    async def run() -> None:
        exchange = Exchange()
        heard = asyncio.create_task(exchange.next())
        first = asyncio.create_task(exchange.score([1, 2]))
        second = asyncio.create_task(exchange.score([3]))
        assert await heard == {"kind": "score", "samples": [1, 2]}
        assert await exchange.next() == {"kind": "score", "samples": [3]}
        await exchange.answer([0.5, 0.25])
        assert await first == [0.5, 0.25]
        assert not second.done()
        await exchange.answer([1.0])
        assert await second == [1.0]
        await exchange.fail("an engine died")
        assert await exchange.next() == {"kind": "rollouts_failed", "message": "an engine died"}
        await exchange.close()
        assert await exchange.next() == {"kind": "closed"}

    asyncio.run(run())


def test_what_went_wrong_is_one_line() -> None:
    assert one_line(ValueError("a\n  b\n" + "c" * 10_000)) == "a b " + "c" * 596
