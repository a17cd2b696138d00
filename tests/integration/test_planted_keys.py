"""Keys that are planted in the environment turn up nowhere, whatever a server does with them."""

from __future__ import annotations

import base64
import json
import logging
import socket
import struct
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from prefect import flow, task

from data.backends import ServerSamplerConfig
from data.config import JudgeConfig
from infra import judge_endpoint
from infra.keys import JUDGE_KEY, SERVER_KEY
from infra.samplers import SamplingParams, open_sampler, server
from infra.store.store import Store
from tasks.grading.judge import recheck
from tests.support.broken_models import whole_model

JUDGE = "sk-planted-Judge/4+2=Qw"
SAMPLER = "sk-planted-Sampler-99x"
WAYS = (
    *("reset", "refused", "server error", "bad request", "redirected", "no json", "chunks of garbage"),
    *("bad header", "cut", "deep", "echo", "list"),
)


def spellings(key: str) -> tuple[str, ...]:
    """A key as a server may send it back."""
    return key, key[4:], key[::-1], quote(key, safe=""), base64.b64encode(key.encode()).decode()


class EchoServer:
    """Sends back what it was sent, in the way `way`; `heard` is what the host heard that it redirects to."""

    def __init__(self) -> None:
        self.way = ""
        self.posts = 0
        self.heard: list[bytes] = []
        self._elsewhere = socket.create_server(("127.0.0.1", 0))
        self._own = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._own.getsockname()[1]}/v1"
        for listening, answer in ((self._own, self._answer), (self._elsewhere, self._note)):
            threading.Thread(target=self._serve, args=(listening, answer), daemon=True).start()

    def _serve(self, listening: socket.socket, answer: Any) -> None:
        while True:
            connection, _ = listening.accept()
            with connection:
                answer(connection, self._request(connection))

    def _request(self, connection: socket.socket) -> bytes:
        connection.settimeout(10)
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(65536)
        head, _, body = request.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        while len(body) < length:
            body += connection.recv(65536)
        return head

    def _note(self, connection: socket.socket, head: bytes) -> None:
        self.heard.append(head)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    def _answer(self, connection: socket.socket, head: bytes) -> None:
        lines = head.decode().split("\r\n")
        sent = next((line for line in lines if line.lower().startswith("authorization")), "no key")
        if lines[0].startswith("GET"):
            self._say(connection, "200 OK", json.dumps({"data": [{"id": "m", "owned_by": sent}]}))
            return
        self.posts += 1
        key = sent.rpartition(" ")[2]
        encoded = f"{sent} {' '.join(spellings(key))}"
        error = json.dumps({"error": {"message": encoded}})
        choice = {"index": 0, "text": sent, "finish_reason": sent, "message": {"content": sent}}
        if self.way == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif self.way == "chunks of garbage":
            connection.sendall(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{encoded}\r\n".encode())
        elif self.way == "bad header":
            connection.sendall(f"HTTP/1.1 200 OK\r\n{encoded}\x00\x01\r\n\r\n".encode())
        elif self.way == "cut":
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{error}".encode())
        elif self.way == "redirected":
            there = f"Location: http://localhost:{self._elsewhere.getsockname()[1]}/{quote(sent)}\r\n"
            self._say(connection, "307 Temporary Redirect", error, there)
        else:
            status, body = {
                "refused": ("401 Unauthorized", error),
                "server error": ("500 Oh", error),
                "bad request": ("400 Bad", error),
                "no json": ("200 OK", encoded),
                "deep": ("200 OK", "[" * 100_000),
                "echo": ("200 OK", json.dumps({"choices": [choice]})),
                "list": ("200 OK", json.dumps([encoded])),
            }[self.way]
            self._say(connection, status, body, f"X-Echo: {encoded}\r\n")

    def _say(self, connection: socket.socket, status: str, body: str, more: str = "") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{more}\r\n"
        connection.sendall((head + body).encode())


@pytest.fixture
def echo() -> EchoServer:
    return EchoServer()


@task
def judging(url: str, store: str) -> None:
    row = {"benchmark": "b", "problem_id": 0, "mode": "greedy", "sample": 0, "problem": "p", "gold": "g"}
    more = {"answer": "a", "rule_correct": False, "correct": False, "majority_answer": "a"}
    recheck(Store(store), JudgeConfig(url=url, model="m"), 0, [row | more | {"majority_correct": False}])


@task
def sampling(url: str, model: str) -> None:
    config = ServerSamplerConfig(urls=(url,), served_model="m")
    with open_sampler(config, Path(model)) as sampler:
        sampler.sample(["1+1"], SamplingParams(max_tokens=3), [0])


@flow
def asking(url: str, store: str, model: str) -> list[str]:
    states = [judging(url, store, return_state=True), sampling(url, model, return_state=True)]
    assert all(state.is_failed() for state in states)
    return [str(state.message) for state in states]


def test_planted_keys_are_in_no_log_no_database_no_store_and_no_command_line(
    prefect_server: None,
    echo: EchoServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from prefect.settings import get_current_settings

    caplog.set_level(logging.INFO)
    monkeypatch.setenv(JUDGE_KEY, f"  {JUDGE}\n")
    monkeypatch.setenv(SERVER_KEY, f"{SAMPLER}\r\n")
    for retries in (judge_endpoint.RETRIES, server._RETRIES):
        monkeypatch.setattr(retries, "attempts", 2)
        monkeypatch.setattr(retries, "first_delay_seconds", 0.001)
    store, model = tmp_path / "store", whole_model(tmp_path / "model")
    messages = []
    for way in WAYS:
        echo.way, before = way, echo.posts
        messages += asking(echo.url, str(store), str(model))
        assert echo.posts >= before + 2
    for broken in (f"{JUDGE}\nX-Other: {JUDGE}", JUDGE + "é"):
        monkeypatch.setenv(JUDGE_KEY, broken)
        monkeypatch.setenv(SERVER_KEY, broken)
        messages += asking(echo.url, str(store), str(model))
    assert echo.heard == []
    url = get_current_settings().server.database.connection_url
    assert url is not None
    database = Path(url.get_secret_value().partition("///")[2])
    kept = [path for path in (*database.parent.rglob("*"), *store.rglob("*")) if path.is_file()]
    assert database in kept
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    files = [content.decode("latin-1") for content in (*lines, *(path.read_bytes() for path in kept))]
    said = capfd.readouterr()
    haystack = "\n".join([*messages, caplog.text, said.out, said.err, *files])
    assert "RZERO_JUDGE_API_KEY" in haystack
    found = [each for key in (JUDGE, SAMPLER) for each in spellings(key) if each in haystack]
    assert [haystack[max(0, haystack.index(each) - 90) :][:150] for each in found] == []
