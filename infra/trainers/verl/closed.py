"""What stands before the HTTP servers of verl's engines, open on their node's address and not used."""

from __future__ import annotations

from typing import Any


class NothingServed:
    """ASGI middleware that answers every request with 403; verl calls its engines through Ray."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 403, "headers": []})
            await send({"type": "http.response.body"})
        else:
            await send({"type": "websocket.close"})
