"""Where verl's reward worker asks for the scores of a batch: a small HTTP service in the stage.

The reward function runs in the stage's own thread, which receives each batch as a message; a request waits
for that thread's answer.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from infra.jobs.process import Message

_LOOPBACK = "127.0.0.1"


@contextlib.contextmanager
def scoring_service(
    messages: queue.Queue[Message], address_file: Path, ray_address: str | None = None
) -> Iterator[None]:
    """Serve within; `address_file` then says where, and the key to show.

    A batch to score is put into `messages` as "score", with its samples and a future for the list of scores;
    a failure in Ray's workers as "rollouts_failed". `ray_address` is the cluster whose nodes must reach the
    service, None where that is this machine.
    """
    key = secrets.token_urlsafe(24)
    host = _LOOPBACK if ray_address is None else _own_address(ray_address)
    server = ThreadingHTTPServer((host, 0), _handler(messages, key))
    server.daemon_threads = True
    descriptor = os.open(address_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"url": f"http://{host}:{server.server_address[1]}", "key": key}, file)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _handler(messages: queue.Queue[Message], key: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if not secrets.compare_digest(self.headers.get("Authorization", ""), f"Bearer {key}"):
                self._answer(401, {"error": "wrong key"})
                return
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            if self.path == "/failed":
                messages.put(Message("rollouts_failed", body))
                self._answer(200, {})
            elif self.path == "/score":
                scores: Future[list[float]] = Future()
                messages.put(Message("score", {**body, "scores": scores}))
                try:
                    self._answer(200, {"scores": scores.result()})
                except Exception as error:
                    self._answer(500, {"error": str(error)})
            else:
                self._answer(404, {"error": self.path})

        def _answer(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the stage itself reports each batch."""

    return Handler


def _own_address(ray_address: str) -> str:
    """This machine's address on the network of the cluster; no packet is sent."""
    host, _, port = ray_address.rpartition(":")
    if not host or not port.isdigit():
        return socket.gethostbyname(socket.gethostname())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host.removeprefix("ray://"), int(port)))
        return str(probe.getsockname()[0])
