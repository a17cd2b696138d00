"""A run with made-up figures to write cards of."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.store.store import Store
from tests.unit.report.conftest import make_run


@pytest.fixture(scope="session")
def made_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the run 'made', whose third iteration has only a trained Challenger. Read only."""
    store = tmp_path_factory.mktemp("hub") / "store"
    make_run(
        Store(str(store)),
        iterations=3,
        overrides=["solver.learning_rate=1e-5"],
        stop_before=(3, "generate_questions"),
    )
    return store
