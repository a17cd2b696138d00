"""How a batch travels from verl's reward worker to the stage, and its scores back.

The reward worker, on whichever node, calls an actor of the training's own Ray job; verl's process asks that
actor what there is and hands it to the stage over its pipe. Whoever may call the actors of a Ray cluster may
run programs on it anyway: no port and no key is added.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import Sequence
from typing import Any

from infra.jobs.channel import Channel

_NAME = "rzero-scoring"
"""Unique within a Ray job's namespace, which is the job's own."""
_ENDING_SECONDS = 120.0


class Exchange:
    """Where reward workers leave batches and failures, and get their scores; lives in one event loop."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._waiting: asyncio.Queue[asyncio.Future[list[float]]] = asyncio.Queue()

    async def score(self, samples: Sequence[Any]) -> list[float]:
        """The scores of a batch, once the stage has sent them."""
        scores: asyncio.Future[list[float]] = asyncio.get_running_loop().create_future()
        self._messages.put_nowait({"kind": "score", "samples": list(samples)})
        self._waiting.put_nowait(scores)
        return await scores

    async def fail(self, message: str) -> None:
        """Tell the stage why nothing more will come, so that it ends the training."""
        self._messages.put_nowait({"kind": "rollouts_failed", "message": message})

    async def next(self) -> dict[str, Any]:
        """What the stage is to hear next; waits until there is something."""
        return await self._messages.get()

    async def close(self) -> None:
        """Nothing more is to be heard."""
        self._messages.put_nowait({"kind": "closed"})

    async def answer(self, scores: Sequence[float]) -> None:
        """The scores of the oldest batch that has none."""
        self._waiting.get_nowait().set_result(list(scores))


class Handover:
    """In verl's process: starts the exchange and carries between it and the stage until it is ended."""

    def __init__(self, channel: Channel) -> None:
        import ray

        self._ended = threading.Event()
        self._exchange = ray.remote(Exchange).options(name=_NAME, num_cpus=0).remote()
        self._thread = threading.Thread(target=self._carry, args=(channel,), name=_NAME, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Carry nothing more, before Ray is left: whoever asks Ray after that ends the process."""
        import ray

        self._ended.set()
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(self._exchange.close.remote())
        self._thread.join(_ENDING_SECONDS)

    def _carry(self, channel: Channel) -> None:
        import ray

        try:
            answers = channel.requests()
            while True:
                message = ray.get(self._exchange.next.remote())
                if message["kind"] == "closed":
                    return
                channel.say(**message)
                if message["kind"] == "score":
                    ray.get(self._exchange.answer.remote(next(answers)["scores"]))
        except Exception as error:
            if not self._ended.is_set():
                channel.say("rollouts_failed", message=f"batches cannot be handed over: {one_line(error)}")


def one_line(error: object) -> str:
    """An error's text, short and on one line."""
    return " ".join(str(error).split())[:600]


async def score_in_stage(samples: Sequence[Any]) -> list[float]:
    """In a worker: the scores of a batch, in its order."""
    return [float(score) for score in await _exchange().score.remote(list(samples))]


async def tell_of_failure(message: str) -> None:
    """In a worker: end the training, and say why."""
    await _exchange().fail.remote(one_line(message))


@functools.cache
def _exchange() -> Any:
    import ray

    return ray.get_actor(_NAME)
