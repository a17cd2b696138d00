"""`rzero report --watch`: whoever has the address sees how the run stands now, nobody else sees anything."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from data.config import RunConfig
from flows.report.watch import ReportServer
from infra.store.store import Store

Fabricate = Callable[..., RunConfig]


@contextmanager
def _served(store: Store) -> Iterator[ReportServer]:
    with ReportServer(store, ["made"]) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_a_served_report_is_up_to_date_and_refreshes_until_the_run_is_finished(
    local_store: Store, fabricate: Fabricate
) -> None:
    fabricate(local_store, iterations=1, stop_before=(1, "train_solver"))
    with _served(local_store) as server:
        before = httpx.get(server.url)
        assert "made is not finished as of" in before.text
        assert "4 of 7 stages are finished, goes on at train_solver" in before.text
        assert int(before.headers["refresh"]) > 0
        fabricate(local_store, iterations=1)
        after = httpx.get(server.url)
        assert "1 of 1 iteration finished" in after.text
        assert "is not finished" not in after.text
        assert "refresh" not in after.headers
        assert server.server_address[0] == "127.0.0.1"


def test_without_the_key_in_the_address_there_is_nothing(local_store: Store, fabricate: Fabricate) -> None:
    fabricate(local_store, iterations=1)
    with _served(local_store) as server:
        root = f"http://127.0.0.1:{server.server_port}"
        for path in ("/", "/report.html", server.path.upper(), server.path[:-2], f"{server.path}x", "/%00"):
            answer = httpx.get(f"{root}{path}", headers={"Host": "localhost"})
            assert answer.status_code == 404
            assert "made" not in answer.text
