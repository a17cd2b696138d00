"""What is being worked on is told from the store alone: leases, checkpoints, shards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from data.resolve import resolve
from flows.live.now import Now, look
from flows.summary import FinishedStep, run_row, status_rows
from infra.artifacts.artifact import Location
from infra.artifacts.checkpoints import StoreCheckpoints
from infra.store.lease import Lease, acquire
from infra.store.store import Store
from tasks.stage.walk import Step

LOCATION = Location(run="a", iteration=2, stage="train_solver", key="k" * 64)
STEP = Step(2, "train_solver", LOCATION, None)
HOLDER = "train_solver of iteration 2 of a on host, process 1"


class Clock:
    """A clock that tests move."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _lease(store: Store, clock: Clock) -> Lease:
    lease = acquire(store, f"{LOCATION.work}/leases/stage", HOLDER, clock=clock)
    assert lease is not None
    return lease


def _checkpoint(store: Store, step: int, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "state").write_bytes(b"x")
    StoreCheckpoints(store, LOCATION).save(step, folder)


def test_what_nobody_has_begun_is_nothing(store: Store, clock: Clock) -> None:
    assert look(store, STEP, clock) is None
    assert look(store, replace(STEP, location=None), clock) is None


def test_a_holder_says_who_works_since_when_how_far_and_how_long_it_takes(store: Store, clock: Clock) -> None:
    lease = _lease(store, clock)
    clock.now += 40
    lease.note = {"done": 5, "total": 20, "unit": "steps", "seconds_left": 120.0}
    lease.renew()
    clock.now += 15
    now = look(store, STEP, clock)
    assert now == Now((HOLDER,), 5, 20, "steps", 55.0, 105.0)
    assert str(now) == "5 of 20 steps, about 1 min 45 s left"


def test_a_checkpoint_that_came_after_the_note_counts(store: Store, clock: Clock, tmp_path: Path) -> None:
    lease = _lease(store, clock)
    lease.note = {"done": 5, "total": 20, "unit": "steps", "seconds_left": None}
    lease.renew()
    _checkpoint(store, 8, tmp_path / "state")
    assert str(look(store, STEP, clock)) == "8 of 20 steps"


def test_without_a_holder_what_is_kept_is_told(store: Store, clock: Clock, tmp_path: Path) -> None:
    lease = _lease(store, clock)
    _checkpoint(store, 4, tmp_path / "state")
    lease.release()
    assert look(store, STEP, clock) == Now(done=4, unit="steps")


@pytest.mark.parametrize(
    "note",
    [
        {},
        {"done": "5", "total": 20, "unit": "steps"},
        {"done": 1, "total": 2, "unit": "\x1b[2J"},
        {"unit": 3},
    ],
)
def test_a_note_that_is_none_is_not_repeated(store: Store, clock: Clock, note: dict[str, object]) -> None:
    lease = _lease(store, clock)
    lease.note = note
    lease.renew()
    now = look(store, STEP, clock)
    assert now is not None
    assert (now.holders, str(now)) == ((HOLDER,), "")


def test_a_run_is_one_row_that_says_whether_it_runs_and_where() -> None:
    config = resolve("a", "tiny", {}, None, 2)
    steps = [FinishedStep(STEP, None)]
    key = (STEP.iteration, STEP.stage)
    running = run_row(config, steps, {key: Now((HOLDER,))})
    assert (running["state"], running["stage"], running["finished"]) == ("running", "train_solver", 1)
    assert run_row(config, steps, {})["state"] == "new"
    assert run_row(config, [], {})["state"] == "finished"
    (row,) = status_rows(steps, {key: Now((HOLDER,), 5, 20, "steps")})
    assert (row["state"], row["done"], row["total"]) == ("running", 5, 20)
    assert status_rows(steps, {})[0]["state"] == "unfinished"
