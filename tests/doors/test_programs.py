"""No parameter and no job variable of a run names a program that its worker starts."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest

from infra.deploy import POOL
from infra.deploy.setup import PROGRAMS, RUN_ENVIRONMENT, set_up_server, variables_of
from tests.support.deployed import Deployed

HOSTILE: dict[str, Any] = {
    "command": "touch /tmp/hostile",
    "env": {"RZERO_COMPUTE_PYTHON": "/tmp/hostile", "PATH": "/tmp"},
    "env.LD_PRELOAD": "/tmp/hostile.so",
    "working_dir": "/tmp",
    "image": "hostile",
    "cluster_config": {"config": {}, "context_name": "hostile"},
    "prefect.variables.rzero_environment": {"PATH": "/tmp"},
    "prefect": {"variables": {"rzero_environment": {"PATH": "/tmp"}}},
}


@pytest.fixture
def later(deployed: Deployed) -> str:
    """A flow run that is scheduled for a far day."""
    day = {"type": "SCHEDULED", "state_details": {"scheduled_time": "2099-01-01T00:00:00Z"}}
    body = {"parameters": {"run": f"later-{uuid.uuid4().hex[:8]}"}, "state": day}
    found: str = deployed.ask(_runs_of(deployed), body)["id"]
    return found


def _runs_of(deployed: Deployed) -> str:
    return f"deployments/{deployed.ask('deployments/name/rzero/iteration')['id']}/create_flow_run"


@pytest.mark.parametrize("name", HOSTILE)
def test_the_server_refuses_a_job_variable_that_names_a_program(
    deployed: Deployed, later: str, name: str
) -> None:
    variables, before = {name: HOSTILE[name]}, deployed.ask("flow_runs/count", {})
    body = {"parameters": {"run": "a"}, "job_variables": variables}
    new = deployed.request("POST", _runs_of(deployed), body)
    changed = deployed.request("PATCH", f"flow_runs/{later}", {"job_variables": variables})
    assert (new.status_code, changed.status_code) == (422, 422), (new.text, changed.text)
    assert deployed.ask("flow_runs/count", {}) == before


def test_the_worker_would_not_heed_them_either(prefect_server: None) -> None:
    from prefect.client.orchestration import get_client
    from prefect.workers.process import ProcessJobConfiguration

    list(set_up_server("process", 1))
    with get_client(sync_client=True) as client:
        template = client.read_work_pool(POOL).base_job_template
    job = asyncio.run(ProcessJobConfiguration.from_template_and_values(template, HOSTILE))
    assert (job.command, job.working_dir, job.env) == (None, None, RUN_ENVIRONMENT)


def test_a_pool_of_processes_that_was_open_is_closed(prefect_server: None) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.workers.process import ProcessWorker

    opened = ProcessWorker.get_default_base_job_template()
    assert PROGRAMS & variables_of(opened) == {"command", "env", "working_dir"}
    list(set_up_server("process", 1))
    with get_client(sync_client=True) as client:
        client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=opened))
        (told,) = [line for line in set_up_server("process", 1) if line.startswith("work pool")]
        assert told.endswith("closed: a run could set command, env, working_dir")
        assert not PROGRAMS & variables_of(client.read_work_pool(POOL).base_job_template)
        client.delete_work_pool(POOL)
        client.create_work_pool(WorkPoolCreate(name=POOL, type="kubernetes", base_job_template=opened))
        (told,) = [line for line in set_up_server("kubernetes", 1) if line.startswith("work pool")]
        assert "LETS A RUN SET command, env, working_dir;" in told
        client.delete_work_pool(POOL)


@pytest.mark.parametrize("setting", ["sampler.python", "trainer.python", "trainer.ray_address"])
def test_a_parameter_that_names_a_program_runs_nothing(
    deployed: Deployed, tmp_path: Path, setting: str
) -> None:
    program, mark, store = tmp_path / "program", tmp_path / "mark", tmp_path / "store"
    program.write_text(f"#!/bin/sh\ntouch {mark}\n")
    program.chmod(0o755)
    overrides = {"sampler.backend": "vllm", "trainer.backend": "verl", setting: str(program)}
    parameters = {"run": "hostile", "store": str(store), "overrides": overrides}
    flow_run = deployed.ask(_runs_of(deployed), {"parameters": parameters, "state": {"type": "SCHEDULED"}})
    assert deployed.end_of(flow_run) == "FAILED"
    message = deployed.ask(f"flow_runs/{flow_run['id']}")["state"]["message"]
    assert f"{setting}: no run may say it" in message
    assert not mark.exists()
    assert not store.exists()
