"""What Prefect's UI lists of a flow run.

Both UIs list the artifacts of a flow run by their ids, the highest first, and the server draws the ids at
random. What belongs on top is therefore drawn again until its id is in the highest quarter, and everything
else until it is not.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

_DRAWS = 64


def in_flow_run() -> bool:
    """Whether there is a flow run to show something with."""
    from prefect.context import FlowRunContext

    context = FlowRunContext.get()
    return context is not None and context.flow_run is not None


def show(kind: str, key: str, data: Any, description: str, on_top: bool = False) -> UUID:
    """Show an artifact with the current flow run, in place of the one of this key; its id.

    `kind` is Prefect's type of artifact: markdown, progress. The artifact belongs to the task run as well,
    where there is one.
    """
    from prefect.artifacts import get_task_and_flow_run_ids
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate

    task_run, flow_run = get_task_and_flow_run_ids()
    new = ArtifactCreate(
        key=key, type=kind, data=data, description=description, task_run_id=task_run, flow_run_id=flow_run
    )
    with get_client(sync_client=True) as client:
        for known in _shown(client, key):
            client.update_artifact(known, ArtifactUpdate(data=data, description=description))
            return known
        for _ in range(_DRAWS - 1):
            drawn = client.create_artifact(new).id
            if (drawn.int >> 126 == 0b11) == on_top:
                return drawn
            client.delete_artifact(drawn)
        return client.create_artifact(new).id


def take_away(key: str) -> None:
    """Show the artifact of this key no more."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        for known in _shown(client, key):
            client.delete_artifact(known)


def _shown(client: Any, key: str) -> list[UUID]:
    from prefect.artifacts import get_task_and_flow_run_ids
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey

    _, flow_run = get_task_and_flow_run_ids()
    if flow_run is None:
        return []
    wanted = ArtifactFilter(
        key=ArtifactFilterKey(any_=[key]), flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run])
    )
    return [artifact.id for artifact in client.read_artifacts(artifact_filter=wanted)]


def key_of(*parts: str | int) -> str:
    """Prefect's key for something of these names, the same in every run of the same work."""
    plain = " ".join(map(str, parts)).lower()
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in plain).split())
