"""Stages that use the device share the slots of a limit that the server may or may not have."""

from __future__ import annotations

import logging
import threading
import uuid

import pytest

from tasks.stage import device_slot as module
from tasks.stage.device_slot import device_slot
from tasks.stage.graph import STAGES


@pytest.fixture
def limit(prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> str:
    """A limit of one slot, which the environment names."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate

    name = f"device-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv("RZERO_DEVICE_LIMIT", name)
    with get_client(sync_client=True) as client:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
    return name


def _taken(name: str) -> int:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return client.read_global_concurrency_limit_by_name(name).active_slots


def test_a_stage_holds_one_slot_while_it_works(limit: str) -> None:
    with device_slot(STAGES["train_solver"]):
        assert _taken(limit) == 1
    assert _taken(limit) == 0


def test_shards_in_threads_share_a_slot_until_the_last_is_done(limit: str) -> None:
    inside, leave = threading.Event(), threading.Event()

    def shard() -> None:
        with device_slot(STAGES["sample_answers"]):
            inside.set()
            leave.wait(60)

    other = threading.Thread(target=shard)
    with device_slot(STAGES["sample_answers"]):
        other.start()
        assert inside.wait(60)
        assert _taken(limit) == 1
    assert _taken(limit) == 1
    leave.set()
    other.join()
    assert _taken(limit) == 0


def test_the_shared_sampler_is_closed_before_the_slot_is_given_back(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_when_closed: list[int] = []
    monkeypatch.setattr(module, "release_sampler", lambda: taken_when_closed.append(_taken(limit)))
    with device_slot(STAGES["generate_questions"]), device_slot(STAGES["generate_questions"]):
        pass
    assert taken_when_closed == [1]
    assert _taken(limit) == 0


def test_a_stage_that_fails_gives_its_slot_back(limit: str) -> None:
    with pytest.raises(RuntimeError, match="no memory"), device_slot(STAGES["evaluate"]):
        raise RuntimeError("no memory")
    assert _taken(limit) == 0


def test_scoring_and_gathering_take_no_slot(limit: str) -> None:
    with device_slot(STAGES["score_and_filter"]), device_slot(STAGES["sample_answers"], gathers=True):
        assert _taken(limit) == 0


def test_a_limit_that_the_server_does_not_have_lets_the_stage_work(
    prefect_server: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RZERO_DEVICE_LIMIT", "no-such-limit")
    done = []
    with device_slot(STAGES["evaluate"]):
        done.append(True)
    assert done


def test_all_stages_but_scoring_use_the_device() -> None:
    assert [name for name, stage in STAGES.items() if not stage.uses_device] == [
        "score_and_filter",
        "evaluate",
    ]


@pytest.fixture
def nobody_at_work(prefect_server: None) -> None:
    """What tests have killed at work, and the server of this session takes for Running, is Crashed."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter
    from prefect.states import Crashed

    at_work = FlowRunFilter.model_validate({"state": {"type": {"any_": ["RUNNING"]}}})
    with get_client(sync_client=True) as client:
        while left := client.read_flow_runs(flow_run_filter=at_work):
            for flow_run in left:
                client.set_flow_run_state(flow_run.id, Crashed(), force=True)


def test_a_stage_that_waits_for_a_slot_says_for_whom_and_when_it_has_it(
    limit: str, nobody_at_work: None, caplog: pytest.LogCaptureFixture
) -> None:
    from prefect import flow, task
    from prefect.concurrency.sync import concurrency

    inside, leave = threading.Event(), threading.Event()

    @task(task_run_name="train_solver: first iteration 2")
    def holder() -> None:
        with concurrency(limit, occupy=1):
            inside.set()
            leave.wait(60)

    @flow
    def first() -> None:
        holder()

    class Release(logging.Handler):
        """Lets the holder go once the other has said that it waits."""

        def emit(self, record: logging.LogRecord) -> None:
            if "waits for a slot" in record.getMessage():
                leave.set()

    release, other = Release(), threading.Thread(target=first)
    logging.getLogger("rzero").addHandler(release)
    other.start()
    try:
        assert inside.wait(60)
        with caplog.at_level(logging.INFO, "rzero"), device_slot(STAGES["sample_answers"]):
            assert leave.is_set()
    finally:
        logging.getLogger("rzero").removeHandler(release)
        leave.set()
        other.join()
    assert [line for line in dict.fromkeys(caplog.messages) if line.startswith("sample_answers: ")] == [
        f"sample_answers: waits for a slot of {limit} (1 of 1 taken by train_solver: first iteration 2)",
        f"sample_answers: has its slot of {limit}",
    ]
