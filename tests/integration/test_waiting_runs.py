"""Flow runs of a deployment that waited for their turn, and flow runs that are refused."""

from __future__ import annotations

import logging
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.flow_engine import run_flow
from prefect.states import Crashed, Running, Scheduled

from flows.evolve import evolve
from flows.iteration import iteration
from flows.meanwhile import crash_what_the_dead_left
from infra.store.store import Store
from tasks.prepare_base_model import prepare_base_model
from tests.unit.report.conftest import make_run


def _ended(started: datetime, **parameters: Any) -> Any:
    """The state in which a flow run ends that was started at this time and has waited since."""
    with get_client(sync_client=True) as client:
        flow_run = client.create_flow_run(
            iteration, parameters=parameters, state=Scheduled(scheduled_time=started)
        )
        run_flow(iteration, flow_run=flow_run, return_type="state")
        return client.read_flow_run(flow_run.id).state


@pytest.fixture
def store(tmp_path: Path, prefect_server: None) -> Path:
    """A store in which the first of the two iterations of the run 'made' is finished."""
    config = make_run(Store(str(tmp_path / "store")), "made", 2, stop_before=(2, "train_challenger"))
    assert config.iterations == 2
    return tmp_path / "store"


def test_a_second_click_does_not_begin_the_next_iteration(store: Path) -> None:
    clicked = datetime.now(UTC) - timedelta(hours=1)
    state = _ended(clicked, run="made", store=str(store))
    assert (state.type.value, state.message) == (
        "COMPLETED",
        "iteration 1 was finished by another flow run while this one waited; submit again for iteration 2",
    )
    assert not (store / "runs/made/iteration=2").exists()


def test_a_refused_flow_run_fails_with_one_line_without_a_traceback_and_leaves_nothing(
    store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = _ended(datetime.now(UTC), run="new", store=str(store), iteration=2)
    assert state.type.value == "FAILED"
    (line,) = state.message.splitlines()
    assert line.endswith(
        "iteration 2 of 'new' begins with the models of iteration 1, but train_challenger of iteration 1 is "
        "not finished; run that one first"
    )
    (logged,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "run that one first" in logged.getMessage()
    assert not logged.exc_info
    assert not (store / "runs/new").exists()


def test_what_a_dead_flow_run_left_running_is_crashed_with_its_sub_flows(prefect_server: None) -> None:
    with get_client(sync_client=True) as client:

        def begun(tags: list[str], within: Any = None) -> tuple[Any, Any]:
            flow_run = client.create_flow_run(
                evolve, state=Running(), tags=tags, parent_task_run_id=within and within.id
            )
            return flow_run, client.create_task_run(
                prepare_base_model.prefect_task, flow_run.id, "0", state=Running()
            )

        parent, task = begun(["rzero"])
        child, below = begun(["rzero"], within=task)
        others = [*begun(["rzero"]), *begun([])]
        dead = others[2]
        for each in (parent, dead):
            client.set_flow_run_state(each.id, Crashed(), force=True)
        crash_what_the_dead_left()

        def state(run: Any) -> str:
            read = client.read_flow_run if isinstance(run, FlowRun) else client.read_task_run
            return read(run.id).state.name

        assert [state(run) for run in (parent, task, child, below)] == ["Crashed"] * 4
        assert [state(run) for run in others] == ["Running", "Running", "Crashed", "Running"]


@pytest.mark.parametrize(("retried", "more"), [(iteration, {"iteration": 1}), (evolve, {})])
def test_what_the_dead_attempt_of_a_retried_flow_run_left_running_is_crashed(
    prefect_server: None, small_store: Path, tmp_path: Path, retried: Any, more: dict[str, int]
) -> None:
    shutil.copytree(small_store, tmp_path / "store")
    parameters = {"run": "small", "store": str(tmp_path / "store"), **more}
    with get_client(sync_client=True) as client:
        flow_run = client.create_flow_run(retried, parameters=parameters, state=Scheduled())
        left = client.create_task_run(prepare_base_model.prefect_task, flow_run.id, "left", state=Running())
        child = client.create_flow_run(iteration, state=Running(), parent_task_run_id=left.id)
        run_flow(retried, flow_run=flow_run, return_type="state")
        assert client.read_flow_run(flow_run.id).state_name == "Completed"
        assert client.read_task_run(left.id).state_name == "Crashed"
        assert client.read_flow_run(child.id).state_name == "Crashed"
