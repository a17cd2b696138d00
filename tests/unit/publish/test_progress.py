"""How far a stage is, and how long it takes: noted in its lease and told to who listens."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import pytest

from data.resolve import resolve
from infra.artifacts.artifact import Location
from infra.store.lease import Lease, acquire
from infra.store.store import Store
from tasks.publish import progress
from tasks.publish.progress import Progress, end_progress, report_begun, report_parts, report_progress
from tasks.stage.work import Work


class Clock:
    """A clock that tests move."""

    now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def work(tmp_path: Path) -> Work:
    location = Location(run="a", iteration=2, stage="train_solver", key=tmp_path.name.ljust(64, "0")[:64])
    made = Work(resolve("a", "tiny", {}, str(tmp_path), 2), 2, Store(str(tmp_path)), location)
    made.lease = acquire(made.store, f"{location.work}/leases/stage", "me")
    return made


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, str, Progress]]:
    found: list[tuple[str, int, str, Progress]] = []
    monkeypatch.setattr(progress, "listeners", [lambda *each: found.append(each)])
    return found


def _note(work: Work) -> dict[str, object]:
    assert isinstance(work.lease, Lease)
    return work.lease.note


def test_the_work_is_told_from_its_beginning_to_its_end(
    work: Work, told: list[tuple[str, int, str, Progress]]
) -> None:
    report_begun(work)
    end_progress(work)
    assert [(run, iteration, stage) for run, iteration, stage, _ in told] == [("a", 2, "train_solver")] * 2
    assert [str(each) for *_, each in told] == ["begun", "finished"]


def test_seconds_left_follow_from_the_pace_since_the_work_was_taken_up(work: Work) -> None:
    clock = Clock()
    report_progress(work, 11, 20, "steps", clock)
    assert _note(work) == {"done": 11, "total": 20, "unit": "steps", "seconds_left": None}
    clock.now += 12
    report_progress(work, 14, 20, "steps", clock)
    assert _note(work) == {"done": 14, "total": 20, "unit": "steps", "seconds_left": 24.0}


def test_shards_that_end_side_by_side_are_counted_in_order(
    work: Work, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first_has_counted, second_is_through = threading.Event(), threading.Event()

    def count(*place: object) -> int:
        """The first that counts is slow to tell: the second would overtake it."""
        if first_has_counted.is_set():
            return 2
        first_has_counted.set()
        second_is_through.wait(0.5)
        return 1

    def second() -> None:
        first_has_counted.wait()
        report_parts(work, 2, one_more=True)
        second_is_through.set()

    monkeypatch.setattr(progress, "finished_parts", count)
    thread = threading.Thread(target=second)
    thread.start()
    with caplog.at_level(logging.INFO):
        report_parts(work, 2, one_more=True)
        thread.join()
    # Other tests may have left the log a second way to here.
    assert list(dict.fromkeys(line for line in caplog.messages if "shard" in line)) == [
        "train_solver: 1 of 2 shards",
        "train_solver: 2 of 2 shards",
    ]
