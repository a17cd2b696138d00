"""The engines of a training answer nothing over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from infra.trainers.verl.closed import NothingServed


def _sent(scope: dict[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """The kinds of requests that an application behind it gets, and what the server is told."""
    reached: list[str] = []
    sent: list[dict[str, Any]] = []

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        reached.append(scope["type"])
        await send({"type": "lifespan.startup.complete"})

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(NothingServed(application)(scope, receive, send))
    return reached, sent


@pytest.mark.parametrize("path", ["/v1/models", "/invocations", "/health", "/"])
def test_every_request_is_refused(path: str) -> None:
    reached, sent = _sent({"type": "http", "method": "POST", "path": path})
    assert reached == []
    assert sent[0] == {"type": "http.response.start", "status": 403, "headers": []}
    assert sent[1] == {"type": "http.response.body"}


def test_every_connection_is_closed_before_it_is_accepted() -> None:
    assert _sent({"type": "websocket", "path": "/v1/realtime"}) == ([], [{"type": "websocket.close"}])


def test_the_application_starts_as_before() -> None:
    assert _sent({"type": "lifespan"}) == (["lifespan"], [{"type": "lifespan.startup.complete"}])
