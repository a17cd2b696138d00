"""What the tests share: a quiet environment, one server of each kind a session, a small run to look at."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.support.deployed import Deployed
from tests.support.s3_server import S3Server, running_server
from tests.support.small_run import small_overrides

# Before torch, transformers or Prefect are imported by anything.
os.environ.update(
    {
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "TOKENIZERS_PARALLELISM": "false",
    }
)


settings.register_profile("fast", max_examples=20)

MARKERS = {"prefect_server": "server", "deployed": "server", "s3_server": "s3"}
"""What a test costs follows from the fixtures it uses, so no test starts a server unmarked."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the servers it needs; `make test-fast` leaves those out."""
    for item in items:
        for name in MARKERS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(MARKERS[name])


def pytest_collection_finish() -> None:
    """Keep what is imported out of later garbage collections, which the code asks for to free memory."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def s3_server() -> S3Server:
    """The S3 server of this session."""
    return running_server()


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """A Prefect server of this session's own, with a database of its own."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture(scope="session")
def settings_read() -> set[tuple[str, str]]:
    """Stage and setting of every read while the small run was made."""
    return set()


@pytest.fixture(scope="session")
def small_store(
    prefect_server: None, tmp_path_factory: pytest.TempPathFactory, settings_read: set[tuple[str, str]]
) -> Path:
    """A store in which the small run 'small' has finished its one iteration undisturbed. Read only."""
    from flows.evolve import evolve
    from tasks.stage.view import View

    store = tmp_path_factory.mktemp("small") / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(View, "on_read", lambda stage, setting: settings_read.add((stage, setting)))
        evolve(run="small", iterations=1, store=str(store), overrides=small_overrides())
    return store


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """The deployments on a server of this session's own, with a worker."""
    found = Deployed(tmp_path_factory.mktemp("deployed") / "server")
    try:
        list(found.server.up())
        yield found
    finally:
        list(found.server.down())


@pytest.fixture(scope="session")
def deployed_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the deployment's undisturbed run lies."""
    return tmp_path_factory.mktemp("deployed-store") / "store"


@pytest.fixture(scope="session")
def deployed_run(deployed: Deployed, deployed_store: Path) -> dict[str, Any]:
    """The undisturbed flow run of `prefect deployment run rzero/iteration --watch`, finished."""
    return deployed.flow_run(deployed.start_run("Deployed", deployed_store, "--watch"))
