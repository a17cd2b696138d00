"""The server that `rzero run` starts for itself asks for a key, and ends with its run, or does not start."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.support.small_run import SMALL_RUN
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow  # Each starts a server of its own.

PATIENCE_SECONDS = 180.0


def _command(tmp_path: Path) -> tuple[list[str], dict[str, str]]:
    """`rzero run` of the small run, and an environment in which Prefect is at home in `home`."""
    code = "from flows.cli import main; main()"
    options = [item for override in SMALL_RUN for item in ("--set", override)]
    command = [sys.executable, "-c", code, "run", "--run", "a", "--iterations", "1", *options]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_API")}
    return command, kept | {"PREFECT_HOME": str(tmp_path / "home"), "RZERO_STORE": str(tmp_path / "store")}


def _started(tmp_path: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A run that has begun, and the address of the server that it has started."""
    command, environment = _command(tmp_path)
    log = tmp_path / "log"
    with log.open("wb") as output:
        run = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)

    def has_begun() -> bool:
        if "begins with the base model" in log.read_text():
            return True
        assert run.poll() is None, log.read_text()
        return False

    wait_until(has_begun, log.read_text, PATIENCE_SECONDS)
    (url,) = set(re.findall(r"temporary server on (http://\S+)", log.read_text()))
    return run, url


def _is_gone(url: str) -> bool:
    try:
        httpx.get(f"{url}/api/health", timeout=60)
    except httpx.ConnectError:
        return True
    except httpx.TransportError:
        pass
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_temporary_server_answers_nobody_else_and_ends_with_its_run(
    tmp_path: Path, number: signal.Signals
) -> None:
    run, url = _started(tmp_path)
    try:
        assert httpx.get(f"{url}/api/health", timeout=60).status_code == httpx.codes.OK
        assert (
            httpx.post(f"{url}/api/flow_runs/filter", json={}, timeout=60).status_code
            == httpx.codes.UNAUTHORIZED
        )
    finally:
        if number == signal.SIGINT:
            # As a terminal does: to all that runs in it.
            os.killpg(run.pid, number)
        else:
            run.send_signal(number)
        run.wait(PATIENCE_SECONDS)
    wait_until(lambda: _is_gone(url), lambda: f"{url} still answers", PATIENCE_SECONDS)


def test_a_database_that_a_newer_prefect_has_used_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "home" / "prefect.db")) as database:
        database.execute("create table alembic_version (version_num varchar(32) not null)")
        database.execute("insert into alembic_version values ('ffffffffffff')")
        database.commit()
    command, environment = _command(tmp_path)
    environment["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "10"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert done.returncode == 1
    # What the server says of itself, its traceback included, goes to the terminal before.
    assert "run.py" not in done.stderr
    assert f"a newer Prefect has used its database in {tmp_path / 'home'}" in " ".join(done.stderr.split())


def test_a_configured_server_that_is_not_up_is_one_line_without_the_key_in_its_address(
    tmp_path: Path,
) -> None:
    command, environment = _command(tmp_path)
    environment |= {
        "PREFECT_API_URL": "http://me:planted-secret@127.0.0.1:9/api",
        "PREFECT_CLIENT_MAX_RETRIES": "0",
    }
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert ended.returncode == 1
    assert "rzero: the Prefect server at http://127.0.0.1:9/api/ does not answer: start it" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "planted-secret" not in ended.stdout + ended.stderr


def test_a_configured_server_that_refuses_the_key_is_one_line(tmp_path: Path) -> None:
    run, url = _started(tmp_path)
    try:
        command, environment = _command(tmp_path / "other")
        environment |= {"PREFECT_API_URL": f"{url}/api", "PREFECT_API_AUTH_STRING": "rzero:another"}
        refused = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )
        assert refused.returncode == 1
        assert f"rzero: the Prefect server at {url}/api/ does not take the key" in refused.stderr
        assert "Traceback" not in refused.stderr
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()
