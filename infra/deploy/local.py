"""`make up` and `make down`: a Prefect server on this machine with everything that rzero needs, and a worker.

All of it is in `<root>/.rzero-server`, which only its owner can enter: the server's key and database, the
processes' ids, their logs. Whoever reaches the server's API runs code, so it answers nobody without the key.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import httpx

from infra.deploy import POOL
from infra.deploy.endings import cancel_runs_of_the_pool
from infra.deploy.key import make_private, server_key
from infra.deploy.processes import Processes

FOLDER = ".rzero-server"
WORKER = "rzero-local"
_HOST = "127.0.0.1"
_PATIENCE_SECONDS = 600.0
"""A busy machine takes minutes instead of seconds; a process that ends is noticed at once."""
_DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    # In memory, a slot that is held when the server ends would stay taken for ever.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # Prefect's own is to look for work every 10 s.
    "PREFECT_WORKER_QUERY_SECONDS": "2",
}
_OF_ANOTHER_SERVER = {
    *("PREFECT_PROFILE", "PREFECT_PROFILES_PATH", "PREFECT_API_KEY"),
    *("PREFECT_SERVER_API_BASE_PATH", "PREFECT_UI_SERVE_BASE", "PREFECT_SERVER_UI_SERVE_BASE"),
}
"""Settings of the user's that would lead past the local server."""


class CannotStart(Exception):
    """The set-up cannot be brought up; the message says why and what to do."""


class LocalServer:
    """The local set-up of the repository in `root`; its files lie in `folder`, else in `.rzero-server`."""

    def __init__(self, root: Path, port: int, folder: Path | None = None) -> None:
        if not (root / "prefect.yaml").exists():
            raise CannotStart(f"{root} has no prefect.yaml; start this in the folder of the repository")
        self.root = root
        self.folder = folder or root / FOLDER
        try:
            make_private(self.folder)
        except OSError as error:
            raise CannotStart(f"{self.folder} cannot be made private: {error.strerror}; remove it") from None
        self.processes = Processes(self.folder)
        self.port = port

    @property
    def url(self) -> str:
        """The address of the UI; its API is below `/api`."""
        return f"http://{_HOST}:{self.port}"

    @property
    def key_file(self) -> Path:
        """Where the key of the API and of the UI is."""
        return self.folder / "key"

    @property
    def authorization(self) -> dict[str, str]:
        """The header by which the API knows its owner."""
        coded = base64.b64encode(server_key(self.key_file).encode()).decode()
        return {"Authorization": f"Basic {coded}"}

    def up(self) -> Iterator[str]:
        """Bring up what is not up yet; yields a line for people on each thing that is ready."""
        with self._alone():
            yield f"server       {self._server()}"
            yield from self._prefect("infra.deploy", "setup")
            self._prefect("prefect", "--no-prompt", "deploy", "--all")
            yield "deployments  rzero/iteration, rzero-evolve/evolve"
            yield f"worker       {self._worker()}"

    def down(self) -> Iterator[str]:
        """End the worker, with the runs it works on, and the server; the store and the database stay."""
        with self._alone():
            worked = self.processes.stop("worker")
            cancelled = self._cancel_runs() if worked else 0
            yield f"worker       {'ended' if worked else 'was not up'}"
            if cancelled:
                yield f"flow runs    {cancelled} cancelled; started again, they resume"
            yield f"server       {'ended' if self.processes.stop('server') else 'was not up'}"

    def _cancel_runs(self) -> int:
        """Cancel what the ended worker was at, so that nobody waits for its heartbeats; how many runs."""
        if not self.processes.is_running("server"):
            return 0
        api = f"http://{_HOST}:{self.processes.detail('server', 'port')}/api"
        with (
            contextlib.suppress(httpx.HTTPError),
            httpx.Client(base_url=api, headers=self.authorization, timeout=30.0) as client,
        ):
            return cancel_runs_of_the_pool(
                client, "`make down` has ended its worker; started again, it resumes"
            )
        return 0

    def _server(self) -> str:
        if self.processes.is_running("server"):
            port = self.processes.detail("server", "port")
            if port != self.port:
                raise CannotStart(f"the server is up on port {port} already; `make down` ends it")
            self.processes.wait_until("server", self._answers, _PATIENCE_SECONDS)
            self._check_key()
            return f"{self.url}, was up"
        if not _is_free(self.port):
            raise CannotStart(
                f"port {self.port} is taken by another program; end that, or: make up PORT={self.port + 1}"
            )
        began = time.monotonic()
        place = ["--host", _HOST, "--port", str(self.port)]
        command = [sys.executable, "-m", "prefect", "server", "start", *place]
        self.processes.start("server", command, self.root, self.environment(), port=self.port)
        self.processes.wait_until("server", self._answers, _PATIENCE_SECONDS)
        self._check_key()
        return f"{self.url}, ready after {time.monotonic() - began:.0f} s"

    def _worker(self) -> str:
        if not self.processes.is_running("worker"):
            began = time.time()
            command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--name", WORKER]
            self.processes.start("worker", command, self.root, self.environment())
            self.processes.wait_until("worker", lambda: self._worker_is_online(began), _PATIENCE_SECONDS)
        return f"{WORKER}, polls the pool {POOL}"

    def _check_key(self) -> None:
        """CannotStart unless the server answers to the key and to nothing else."""
        url = f"{self.url}/api/admin/version"
        known = httpx.get(url, headers=self.authorization, timeout=_PATIENCE_SECONDS).is_success
        stranger = httpx.get(url, timeout=_PATIENCE_SECONDS)
        if not known or stranger.status_code != httpx.codes.UNAUTHORIZED:
            wrong = "asks for no key" if known else f"does not take the key in {self.key_file}"
            raise CannotStart(f"the server that is up {wrong}; `make down`, then again")

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/api/health").is_success
        return False

    def _worker_is_online(self, began: float) -> bool:
        """Whether the worker has sent a heartbeat since it was started."""
        url = f"{self.url}/api/work_pools/{POOL}/workers/filter"
        with contextlib.suppress(httpx.HTTPError):
            workers = httpx.post(url, json={}, headers=self.authorization).raise_for_status().json()
            beats = [one["last_heartbeat_time"] for one in workers if one["name"] == WORKER]
            return any(datetime.fromisoformat(beat).timestamp() >= began for beat in beats if beat)
        return False

    def _prefect(self, *command: str) -> list[str]:
        """Run a module's command against the server; the lines it prints."""
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.root,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise CannotStart(f"`{' '.join(command)}` failed:\n{(done.stdout + done.stderr).strip()[-3000:]}")
        return done.stdout.splitlines()

    def environment(self) -> dict[str, str]:
        """This process's, with all of its Prefect settings but those that say where the server is."""
        kept = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER_SERVER}
        key = server_key(self.key_file)
        own = {
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_API_URL": f"{self.url}/api",
            "PREFECT_API_AUTH_STRING": key,
            "PREFECT_SERVER_API_AUTH_STRING": key,
            # Pages of other origins may not read what the API answers, nor ask for what needs a preflight.
            "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"{self.url},http://localhost:{self.port}",
            # Otherwise the UI in the browser asks port 4200.
            "PREFECT_SERVER_UI_API_URL": f"{self.url}/api",
            "PYTHONUNBUFFERED": "1",
            # The templated working directory of prefect.yaml.
            "PWD": str(self.root),
        }
        return _DEFAULTS | kept | own

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One command at a time."""
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CannotStart("another `make up` or `make down` is at work in this folder") from None
            yield


def _is_free(port: int) -> bool:
    try:
        socket.create_server((_HOST, port)).close()
    except OSError:
        return False
    return True
