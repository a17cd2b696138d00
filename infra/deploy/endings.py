"""Flow runs whose process is gone, with their tasks and sub-flows, of which the server does not learn."""

from __future__ import annotations

from typing import Any

from infra.deploy import POOL

TAG = "rzero"
"""The deployments' tag."""
_UNDER_WAY = {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}
_ROUNDS = 100


def cancel_runs_of_the_pool(client: Any, message: str) -> int:
    """Cancel the flow runs that the pool's workers have begun, with all that is in them; how many there were.

    `client` has `request(method, path, json=...)`, as httpx's and Prefect's clients have. Its errors pass.
    """
    wanted = {"work_pools": {"name": {"any_": [POOL]}}, "flow_runs": {"state": _UNDER_WAY}}
    found = _ask(client, "flow_runs/filter", wanted)
    for flow_run in found:
        _end(client, "flow_runs", flow_run["id"], "CANCELLED", message)
    crash_what_the_dead_left(client)
    return len(found)


def crash_what_the_dead_left(client: Any, begins_again: str | None = None) -> None:
    """Mark as Crashed the tasks and sub-flows under way of flow runs that are Crashed or Cancelled.

    Only those with the deployments' tag. One that was taken for dead and lives says itself how it goes on.
    And those of `begins_again`, the id of a flow run that is retried and has begun no task yet.
    """
    if begins_again:
        _crash_tasks(client, {"id": {"any_": [begins_again]}})
    _crash_tasks(client, {"state": {"type": {"any_": ["CRASHED", "CANCELLED"]}}, "tags": {"all_": [TAG]}})


def _crash_tasks(client: Any, of: dict[str, Any]) -> None:
    message = "The attempt that it belongs to has ended without it"
    for _ in range(_ROUNDS):
        tasks = _ask(client, "task_runs/filter", {"flow_runs": of, "task_runs": {"state": _UNDER_WAY}})
        if not tasks:
            return
        parents = {"any_": [task["id"] for task in tasks]}
        within = {"flow_runs": {"parent_task_run_id": parents, "state": _UNDER_WAY}}
        for flow_run in _ask(client, "flow_runs/filter", within):
            _end(client, "flow_runs", flow_run["id"], "CRASHED", message)
        for task in tasks:
            _end(client, "task_runs", task["id"], "CRASHED", message)


def _end(client: Any, kind: str, number: str, state: str, message: str) -> None:
    wanted = {"type": state, "name": state.capitalize(), "message": message}
    _ask(client, f"{kind}/{number}/set_state", {"state": wanted, "force": True})


def _ask(client: Any, path: str, body: Any) -> Any:
    return client.request("POST", f"/{path}", json=body).raise_for_status().json()
