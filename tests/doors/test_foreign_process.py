"""Another user of this machine, or a page in a browser, reaches the port of `make up` and gets nothing."""

from __future__ import annotations

import base64
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from infra.deploy.local import CannotStart, LocalServer
from tests.support.deployed import ROOT, Deployed, free_port

OPEN = {("GET", "/health"), ("GET", "/ready")}
WRONG = base64.b64encode(b"rzero:guessed").decode()
ELSEWHERE = "http://elsewhere.example"
SOCKETS = (
    "events/in",
    "events/out",
    "logs/out",
    "task_runs/subscriptions/scheduled",
    "work_pools/rzero/workers/connect",
)


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": f"Basic {WRONG}"}, {"Authorization": "Bearer"}], ids=str
)
def test_every_address_of_the_api_but_health_refuses_who_has_no_key(
    deployed: Deployed, headers: dict[str, str]
) -> None:
    answered = set()
    with httpx.Client(base_url=f"{deployed.server.url}/api", headers=headers, timeout=60) as client:
        for path, methods in deployed.ask("openapi.json")["paths"].items():
            for method in map(str.upper, methods):
                place = re.sub(r"{\w+}", "00000000-0000-0000-0000-000000000000", path)
                if client.request(method, place).status_code != httpx.codes.UNAUTHORIZED:
                    answered.add((method, path))
    assert answered == OPEN


@pytest.mark.parametrize("path", SOCKETS)
@pytest.mark.parametrize("first", [None, '{"type": "auth", "token": "rzero:guessed"}', '{"type": "auth"}'])
def test_no_websocket_opens_to_who_has_no_key(deployed: Deployed, path: str, first: str | None) -> None:
    url = f"{deployed.server.url}/api/{path}".replace("http:", "ws:")
    with pytest.raises((ConnectionClosed, InvalidStatus)):
        _first_answer(url, first)


def _first_answer(url: str, said: str | None) -> str:
    """What a websocket answers to a first message in Prefect's protocol, or without it."""
    protocols = [Subprotocol("prefect")] if said else None
    with connect(url, subprotocols=protocols, proxy=None) as socket:
        socket.send(said or "{}")
        return str(socket.recv(60))


def test_the_owner_s_key_opens_the_websocket_of_events(deployed: Deployed) -> None:
    url = f"{deployed.server.url}/api/events/in".replace("http:", "ws:")
    key = deployed.server.key_file.read_text().strip()
    assert "auth_success" in _first_answer(url, f'{{"type": "auth", "token": "{key}"}}')


def _preflight(deployed: Deployed, origin: str) -> httpx.Response:
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    return httpx.options(
        f"{deployed.server.url}/api/flows/filter", headers={"Origin": origin, **wanted}, timeout=60
    )


@pytest.mark.parametrize("origin", [ELSEWHERE, "null", "http://127.0.0.1", "http://127.0.0.1:1"])
def test_a_page_of_another_origin_is_not_let_through_by_cors(deployed: Deployed, origin: str) -> None:
    assert "access-control-allow-origin" not in _preflight(deployed, origin).headers
    headers = {"Origin": origin, "Content-Type": "text/plain"}
    for sent in (headers, headers | deployed.server.authorization):
        answer = httpx.post(f"{deployed.server.url}/api/flows/filter", headers=sent, content="{}", timeout=60)
        assert "access-control-allow-origin" not in answer.headers


def test_the_ui_s_own_origins_are_let_through_by_cors(deployed: Deployed) -> None:
    for origin in (deployed.server.url, f"http://localhost:{deployed.server.port}"):
        assert _preflight(deployed, origin).headers["access-control-allow-origin"] == origin


def test_what_a_page_may_send_without_a_preflight_starts_no_run(deployed: Deployed) -> None:
    before = deployed.ask("flow_runs/count", {})
    place = f"deployments/{deployed.ask('deployments/name/rzero/iteration')['id']}/create_flow_run"
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
        headers = {"Origin": ELSEWHERE, "Host": "elsewhere.example", "Content-Type": kind}
        body = '{"parameters": {"run": "foreign"}}'
        answer = httpx.post(f"{deployed.server.url}/api/{place}", headers=headers, content=body, timeout=60)
        assert answer.status_code == httpx.codes.UNAUTHORIZED
    assert deployed.ask("flow_runs/count", {}) == before


def test_the_key_is_in_its_file_alone_and_the_file_is_its_owner_s(
    deployed: Deployed, deployed_run: dict[str, Any], deployed_store: Path
) -> None:
    folder, file = deployed.server.folder, deployed.server.key_file
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = file.read_text().strip()
    secret = key.partition(":")[2]
    assert len(secret) >= 32
    forms = [secret.encode(), base64.b64encode(key.encode())]
    found = [
        path
        for place in (folder, deployed_store)
        for path in place.rglob("*")
        if path.is_file() and path != file and any(form in path.read_bytes() for form in forms)
    ]
    assert not found
    assert (folder / "server.log").exists()
    assert (folder / "prefect" / "prefect.db").exists()
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, check=True).stdout
    assert b"prefect" in shown
    assert not any(form in shown for form in forms)
    assert not any(secret in line for line in deployed.server.up())


def test_the_doctor_tells_whether_the_key_is_the_server_s(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from infra.machine.doctor import examine

    monkeypatch.setenv("PREFECT_API_URL", f"{deployed.server.url}/api")
    for key, is_ours in ((deployed.server.key_file.read_text().strip(), True), ("rzero:guessed", False)):
        monkeypatch.setenv("PREFECT_API_AUTH_STRING", key)
        (check,) = [each for each in examine(str(tmp_path)) if each.name == "Prefect API"]
        assert check.ok == is_ours
    assert "PREFECT_API_AUTH_STRING" in check.mend


def test_up_again_keeps_the_key(deployed: Deployed) -> None:
    before = deployed.server.key_file.read_text()
    list(deployed.server.up())
    assert deployed.server.key_file.read_text() == before


def test_a_key_file_that_others_may_read_is_closed(tmp_path: Path) -> None:
    server = LocalServer(ROOT, 1, tmp_path / "server")
    first = server.authorization
    server.key_file.chmod(0o644)
    server.folder.chmod(0o755)
    again = LocalServer(ROOT, 1, tmp_path / "server")
    assert again.authorization == first
    assert stat.S_IMODE(again.key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(again.folder.stat().st_mode) == 0o700
    assert LocalServer(ROOT, 1, tmp_path / "other").authorization != first


def test_a_user_s_own_settings_stay_but_for_those_that_lead_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "postgresql+asyncpg://here/prefect")
    monkeypatch.setenv("PREFECT_WORKER_QUERY_SECONDS", "7")
    for name in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE", "PREFECT_API_AUTH_STRING"):
        monkeypatch.setenv(name, "http://elsewhere/api")
    server = LocalServer(ROOT, 4321, tmp_path / "server")
    given = server.environment()
    assert given["PREFECT_LOGGING_LEVEL"] == "DEBUG"
    assert given["PREFECT_SERVER_DATABASE_CONNECTION_URL"] == "postgresql+asyncpg://here/prefect"
    assert given["PREFECT_WORKER_QUERY_SECONDS"] == "7"
    assert given["PREFECT_API_URL"] == "http://127.0.0.1:4321/api"
    assert "http://elsewhere/api" not in given.values()
    assert given["PREFECT_API_AUTH_STRING"] == given["PREFECT_SERVER_API_AUTH_STRING"]


def test_a_server_that_asks_for_no_key_is_not_taken_for_ours(tmp_path: Path) -> None:
    folder = tmp_path / "served" / "api"
    (folder / "admin").mkdir(parents=True)
    (folder / "health").write_text("true")
    (folder / "admin" / "version").write_text("3")
    server = LocalServer(ROOT, free_port(), tmp_path / "server")
    command = [sys.executable, "-m", "http.server", str(server.port), "--bind", "127.0.0.1"]
    server.processes.start("server", command, tmp_path / "served", os.environ, port=server.port)
    try:
        with pytest.raises(CannotStart, match="asks for no key; `make down`, then"):
            list(server.up())
    finally:
        server.processes.stop("server")
