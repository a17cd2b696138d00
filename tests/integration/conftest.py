"""Stores in buckets of a real S3 server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.store import s3
from infra.store.store import Store
from tests.support.s3_server import SMALLEST_PART, running_server, use_server


@pytest.fixture
def behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The environment set for the server; a file system of the tests' own to look behind the store."""
    monkeypatch.setenv("RZERO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(s3, "PART_BYTES", SMALLEST_PART)
    return use_server(monkeypatch, running_server().endpoint)


@pytest.fixture(params=["plain", "versioned"])
def store(behind: Any, request: pytest.FixtureRequest) -> Store:
    return Store(f"s3://{running_server().new_bucket(behind, request.param == 'versioned')}/house/store")


@pytest.fixture
def plain(behind: Any) -> Store:
    return Store(f"s3://{running_server().new_bucket(behind)}/house/store")
