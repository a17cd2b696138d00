"""A Prefect server hears of every finished artifact as an asset, with what it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prefect.assets import Asset
from prefect.client.orchestration import get_client
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.types.names import MAX_ASSET_KEY_LENGTH

from infra.artifacts.artifact import Manifest
from tasks.publish.assets import asset_key
from tests.support.waiting import wait_until


@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=60))
def test_an_address_of_whatever_characters_is_a_key_that_prefect_takes(path: str) -> None:
    key = asset_key(f"/stores/{path}")
    assert key is not None
    assert Asset(key=key).key == key


def test_an_address_that_is_longer_than_a_key_may_be_has_none() -> None:
    assert asset_key("s3://bucket/" + "x" * MAX_ASSET_KEY_LENGTH) is None


def _assets_of(store: Path, event: str) -> dict[str, Any]:
    """The events of this name about assets in the store, by address."""
    wanted = EventFilter(
        event=EventNameFilter(name=[event]), resource=EventResourceFilter(id_prefix=[f"file://{store}/"])
    )
    with get_client(sync_client=True) as client:
        return {found.resource.id: found for found in client.read_events(filter=wanted, limit=50).events}


def test_each_artifact_is_an_asset_whose_event_names_what_it_was_made_from(small_store: Path) -> None:
    manifests = {
        f"file://{path.parent}": Manifest.model_validate_json(path.read_bytes())
        for path in small_store.glob("runs/small/iteration=*/*/*/_manifest.json")
    }
    assert len(manifests) >= 9
    made: dict[str, Any] = {}

    def is_heard_of() -> bool:
        made.update(_assets_of(small_store, "prefect.asset.materialization.succeeded"))
        return set(made) == set(manifests)

    wait_until(is_heard_of, lambda: f"assets {sorted(made)}, artifacts {sorted(manifests)}", 60)
    for address, manifest in manifests.items():
        related = {one.id: one.role for one in made[address].related}
        inputs = {f"file://{used.uri}" for used in manifest.inputs.values()}
        assert {name for name, role in related.items() if role == "asset"} == inputs
        assert related["rzero"] == "asset-materialized-by"
        assert made[address].payload["sha256"] == manifest.digest
    referenced = _assets_of(small_store, "prefect.asset.referenced")
    assert set(referenced) == {f"file://{u.uri}" for m in manifests.values() for u in m.inputs.values()}
