"""What a finished stage shows in Prefect's UI: its key figures and where its Parquet lies."""

from __future__ import annotations

import re
from typing import Any

from prefect.artifacts import create_table_artifact
from prefect.context import FlowRunContext

from infra.artifacts import ArtifactRef
from tasks.work import Work


def publish_stage(work: Work, ref: ArtifactRef) -> None:
    """Publish the figures of a stage as a table artifact; outside a flow run nothing happens."""
    if FlowRunContext.get() is None:
        return
    rows: list[dict[str, Any]] = [
        {"figure": name, "value": value}
        for name, value in work.figures.items()
        if not isinstance(value, list)
    ]
    rows.append({"figure": "artifact", "value": ref.uri})
    rows.append({"figure": "digest", "value": ref.digest})
    key = re.sub(r"[^a-z0-9]+", "-", f"{work.config.run} {work.stage.name} {work.iteration}".lower()).strip(
        "-"
    )
    create_table_artifact(
        table=rows, key=key, description=f"{work.stage.name}, iteration {work.iteration} of {work.config.run}"
    )
