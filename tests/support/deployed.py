"""The deployments on a real server with a worker, as `make up` brings them up, on a port of their own."""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from infra.deploy.local import LocalServer
from tests.support.small_run import small_overrides
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
ENDED = ("COMPLETED", "CRASHED", "FAILED", "CANCELLED")
"""The states after which a flow run does nothing more by itself."""
_SAID_AT = re.compile(r"\d\d:\d\d:\d\d")
"""How a line of the worker's log begins; those of a traceback, which would push all else out, do not."""


class Deployed:
    """A local set-up in a folder, and what a user does with it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.server = LocalServer(ROOT, free_port(), folder)

    def start_run(self, run: str, store: Path, *options: str) -> str:
        """`prefect deployment run rzero/iteration` of the small run; what it prints."""
        parameters = {"run": run, "preset": "tiny", "iteration": 1, "store": str(store)}
        given = [f"{name}={value}" for name, value in parameters.items()]
        given.append(f"overrides={json.dumps(small_overrides())}")
        command = [sys.executable, "-m", "prefect", "deployment", "run", "rzero/iteration"]
        environment = os.environ | {
            "PREFECT_API_URL": f"{self.server.url}/api",
            "PREFECT_API_AUTH_STRING": self.server.key_file.read_text().strip(),
            "PREFECT_HOME": str(self.server.folder / "user"),
        }
        done = subprocess.run(
            [*command, *(item for value in given for item in ("--param", value)), *options],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, path: str, body: Any = None) -> Any:
        """What the server's API answers: GET, or POST with a body."""
        answer = self.request("GET" if body is None else "POST", path, body)
        return answer.raise_for_status().json()

    def request(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """What it answers to its owner; asked again while its database is busy, as Prefect's client does."""
        url, known = f"{self.server.url}/api/{path}", self.server.authorization
        deadline = time.monotonic() + 300.0
        while True:
            answer = httpx.request(method, url, json=body, headers=known, timeout=60)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                return answer
            time.sleep(1.0)

    def flow_run(self, output: str) -> dict[str, Any]:
        """The flow run that `start_run` has printed the id of."""
        (number,) = (line.rpartition(" ")[2] for line in output.splitlines() if "UUID:" in line)
        found: dict[str, Any] = self.ask(f"flow_runs/{number}")
        return found

    def state(self, flow_run: dict[str, Any]) -> str:
        """The type of the state that a flow run is in now."""
        return str(self.ask(f"flow_runs/{flow_run['id']}")["state_type"])

    def end_of(self, flow_run: dict[str, Any]) -> str:
        """The state in which a flow run ends, as soon as it does."""
        self.wait_until(lambda: self.state(flow_run) in ENDED, f"the end of {flow_run['name']}")
        return self.state(flow_run)

    def task_runs(self, flow_run: dict[str, Any]) -> list[dict[str, Any]]:
        """The task runs of a flow run."""
        found: list[dict[str, Any]] = self.ask(
            "task_runs/filter", {"flow_runs": {"id": {"any_": [flow_run["id"]]}}}
        )
        return found

    def wait_until(self, is_so: Callable[[], bool], what: str, timeout_seconds: float = 900.0) -> None:
        """Wait until the server says so; fails, saying what was waited for, where it never does."""
        wait_until(
            is_so,
            lambda: f"{what} did not come about; {self._end_of_log()}",
            timeout_seconds,
            every_seconds=0.5,
        )

    def _end_of_log(self) -> str:
        path = self.server.processes.log("worker")
        if not path.exists():
            return "no worker was started"
        lines = path.read_text(errors="replace").splitlines()
        return "\n".join(line[:200] for line in lines if _SAID_AT.match(line))[-6000:]


def free_port() -> int:
    """A port of this machine that nothing listens at."""
    while True:
        port = random.SystemRandom().randrange(20_000, 50_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
