"""A store on a disk, and one in memory."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from infra.store.store import Store


@pytest.fixture(params=["file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store") if request.param == "file" else f"memory://{uuid.uuid4().hex}")
