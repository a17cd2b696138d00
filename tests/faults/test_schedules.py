"""Writers of one artifact in every order; `make faults` runs 10,000 such schedules on each store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.artifacts import claim, writer
from infra.store.store import Store
from tests.faults.schedules import Schedule, opened, run_schedules


@pytest.mark.parametrize(("kind", "schedules"), [("memory", 80), ("disk", 50)])
def test_in_any_order_there_is_one_artifact_and_it_is_whole(kind: str, schedules: int) -> None:
    with opened(kind) as uri:
        assert run_schedules(uri, schedules, 0, lambda line: None) > 20 * schedules


@pytest.mark.s3
def test_in_any_order_there_is_one_artifact_in_a_bucket_and_it_is_whole() -> None:
    with opened("s3") as uri:
        assert run_schedules(uri, 4, 0, lambda line: None) > 80


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(orders=st.lists(st.integers(0, 239), max_size=300))
def test_hypothesis_finds_no_order_that_breaks_it(orders: list[int]) -> None:
    left = iter(orders)
    with opened("memory") as uri:
        # When the orders are at their end, the first writer goes on to its own.
        Schedule(uri, lambda possibilities: next(left, 2 * 3 * 5) % possibilities).run()


def _overwrites(store: Store, path: str, content: bytes) -> bool:
    store.put(path, content)
    return True


def _claims_without_asking(store: Store, location: Any, wanted: claim.Claim) -> bool:
    return _overwrites(store, f"{location.work}/claim.json", claim.json_bytes(wanted.model_dump(mode="json")))


def _writes_where_readers_look(self: writer.ArtifactWriter, name: str) -> str:
    return f"{self.location.path}/{name}"


@pytest.mark.parametrize(
    ("where", "name", "broken"),
    [
        (writer, "create_claim", _claims_without_asking),
        (writer.ArtifactWriter, "_path", _writes_where_readers_look),
    ],
    ids=["a claim that overwrites", "files in the artifact's folder"],
)
def test_a_protocol_that_is_broken_is_noticed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: Any, name: str, broken: Any
) -> None:
    monkeypatch.setattr(where, name, broken)
    with opened("memory") as uri, pytest.raises(AssertionError, match="schedule"):
        run_schedules(uri, 300, 1, lambda line: None)
