"""Whom the server tells of a run that needs a person, and what becomes of runs when `make down` ends them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.support.deployed import ROOT, Deployed

REASON = 'iteration 2 begins with "the models" of iteration 1'


class _Listener(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Keep what was sent."""
        self.server.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()


@pytest.fixture
def listener() -> Iterator[Any]:
    """A webhook on this machine, with what it has heard."""
    server: Any = HTTPServer(("127.0.0.1", 0), _Listener)
    server.heard = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def _in_state(deployed: Deployed, name: str, *states: dict[str, str]) -> str:
    """The id of a flow run of the deployment that was in these states, one after the other."""
    first, *others = states
    deployment = deployed.ask("deployments/name/rzero/iteration")
    wanted = {"name": name, "parameters": {"run": "x"}, "state": first}
    number: str = deployed.ask(f"deployments/{deployment['id']}/create_flow_run", wanted)["id"]
    for state in others:
        deployed.ask(f"flow_runs/{number}/set_state", {"state": state, "force": True})
    return number


def test_a_webhook_hears_of_runs_that_fail_crash_or_wait_for_a_person_and_of_no_other(
    deployed: Deployed, listener: Any
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "infra.deploy", "notify"],
        cwd=ROOT,
        env=deployed.server.environment()
        | {"RZERO_WEBHOOK_URL": f"http://127.0.0.1:{listener.server_port}/hook/SECRET"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "SECRET" not in done.stdout + done.stderr
    running = {"type": "RUNNING"}
    for name, state in (("fine", "COMPLETED"), ("bad", "FAILED"), ("lost", "CRASHED"), ("gated", "PAUSED")):
        _in_state(deployed, name, running, {"type": state, "message": REASON})
    deployed.wait_until(lambda: len(listener.heard) >= 3, "three calls of the webhook", 120)
    said = sorted(heard["text"].partition(" http")[0] for heard in listener.heard)
    assert said == [
        f"rzero: bad is Failed. {REASON}",
        f"rzero: gated is Paused. {REASON}",
        f"rzero: lost is Crashed. {REASON}",
    ]
    assert all(deployed.server.url in heard["text"] for heard in listener.heard)


def test_down_cancels_the_run_it_ends(deployed: Deployed) -> None:
    number = _in_state(deployed, "ended", {"type": "RUNNING"})
    lines = list(deployed.server.down())
    assert [line.partition("  ")[0] for line in lines] == ["worker", "flow runs", "server"]
    list(deployed.server.up())
    state = deployed.ask(f"flow_runs/{number}")["state"]
    assert (state["name"], state["message"]) == (
        "Cancelled",
        "`make down` has ended its worker; started again, it resumes",
    )
    limit = deployed.ask("deployments/name/rzero/iteration")["global_concurrency_limit"]
    assert limit["active_slots"] == 0
