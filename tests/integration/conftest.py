"""Stores in buckets of a real S3 server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.store.store import Store
from tests.support.s3_server import SMALL_PARTS, S3Server, use_server


@pytest.fixture
def behind(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The environment set for the server; a file system of the tests' own to look behind the store."""
    monkeypatch.setenv("RZERO_CACHE", str(tmp_path / "cache"))
    return use_server(monkeypatch, s3_server.endpoint)


@pytest.fixture(params=["plain", "versioned"])
def store(s3_server: S3Server, behind: Any, request: pytest.FixtureRequest) -> Store:
    bucket = s3_server.new_bucket(behind, request.param == "versioned")
    return Store(f"s3://{bucket}/house/store", SMALL_PARTS)


@pytest.fixture
def plain(s3_server: S3Server, behind: Any) -> Store:
    return Store(f"s3://{s3_server.new_bucket(behind)}/house/store", SMALL_PARTS)
