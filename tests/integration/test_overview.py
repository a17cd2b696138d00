"""The overview and the report are made while a run works, and never stop it."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from flows.overview import Overview, overview
from infra.store.store import Store
from tasks.publish.shown import show, take_away
from tests.unit.report.conftest import make_run


def _artifacts(key: str) -> list[str]:
    with get_client(sync_client=True) as client:
        wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[key]))
        return [str(found.data) for found in client.read_artifacts(artifact_filter=wanted)]


def test_a_flow_run_shows_one_artifact_of_a_key_and_what_belongs_on_top_has_the_highest_id(
    prefect_server: None,
) -> None:
    @flow
    def shows() -> None:
        top = show("markdown", "top-of-these", "first", "", on_top=True)
        rest = [show("markdown", f"rest-of-these-{number}", "", "") for number in range(12)]
        assert top > max(rest)
        assert show("markdown", "top-of-these", "second", "", on_top=True) == top
        take_away("rest-of-these-0")

    shows()
    assert _artifacts("top-of-these") == ["second"]
    assert _artifacts("rest-of-these-0") == []
    assert len(_artifacts("rest-of-these-1")) == 1


def test_an_overview_that_cannot_be_made_is_a_warning_and_the_run_goes_on(
    prefect_server: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "store"
    config = make_run(Store(str(store)), iterations=1).model_copy(update={"store": str(store)})
    went_on = []

    @flow
    def works() -> None:
        for table in store.rglob("evaluate/*/*.parquet"):
            table.write_bytes(b"x" * table.stat().st_size)
        with overview(config, 1):
            went_on.append("a stage")
        Overview(config).update()
        went_on.append("the end")

    works()
    assert went_on == ["a stage", "the end"]
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert sum("the overview could not be shown in Prefect" in line for line in warnings) >= 2


def test_a_report_in_a_bucket_lies_beside_the_run(
    plain: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_run(plain, iterations=1).model_copy(update={"store": plain.uri})
    monkeypatch.chdir(tmp_path)
    Overview(config).report()
    assert b"1 of 1 iteration finished" in plain.read("runs/made/report.html")
    assert not list(tmp_path.glob("*.html"))
