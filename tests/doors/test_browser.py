"""A real browser: with the key its user gets in and sees the runs; somebody else's page starts nothing."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Browser, chromium
from tests.support.deployed import Deployed

ATTACK = (Path(__file__).parent / "hostile.js").read_text()
REBOUND = "rebound.example"
"""A name that led to its owner's server when the page was loaded, and now leads to this machine."""


@pytest.fixture(scope="module")
def browser(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser whose user is logged in."""
    chromium()
    with Browser(tmp_path_factory.mktemp("browser"), f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1") as one:
        one.log_in(deployed.server.url, deployed.server.key_file.read_text().strip())
        yield one


@pytest.fixture
def page_of_others(tmp_path: Path) -> Iterator[str]:
    """The address of a page on a server of somebody else's."""
    (tmp_path / "index.html").write_text("<!doctype html><title>Win a prize</title><body>")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_the_ui_asks_for_the_key_and_then_shows_the_runs(
    deployed: Deployed, deployed_run: dict[str, Any], browser: Browser, tmp_path: Path
) -> None:
    browser.go(f"{deployed.server.url}/v2/runs")
    browser.wait_for(f"document.body.innerText.includes('{deployed_run['name']}')")
    browser.go(f"{deployed.server.url}/v2/runs/flow-run/{deployed_run['id']}")
    browser.wait_for("document.body.innerText.includes('Completed')")
    browser.picture(tmp_path / "run.png")


def test_a_page_of_another_origin_starts_no_run_for_a_user_who_is_logged_in(
    deployed: Deployed, browser: Browser, page_of_others: str
) -> None:
    browser.go(page_of_others)
    browser.wait_for("document.title === 'Win a prize'")
    told = _attack(deployed, browser, f"{deployed.server.url}/api")
    assert told == ["opaque 0", "opaque 0", "TypeError", "TypeError", *["closed 1008"] * 3]


def test_a_page_whose_name_was_rebound_to_this_machine_starts_no_run(
    deployed: Deployed, browser: Browser
) -> None:
    origin = f"http://{REBOUND}:{deployed.server.port}"
    browser.go(f"{origin}/ui-settings")
    browser.wait_for(f"location.origin === '{origin}' && document.body.innerText.includes('BASIC')")
    told = _attack(deployed, browser, f"{origin}/api")
    assert told == [*["basic 401"] * 4, *["closed 1008"] * 3]


def _attack(deployed: Deployed, browser: Browser, api: str) -> list[str]:
    """What the page was told; fails if a flow run came of it."""
    before = deployed.ask("flow_runs/count", {})
    deployment = deployed.ask("deployments/name/rzero/iteration")["id"]
    told: list[str] = browser.value(f"({ATTACK})('{api}', '{deployment}')")
    assert deployed.ask("flow_runs/count", {}) == before
    return told
