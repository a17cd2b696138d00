"""A lease: one holder at a time, taken over when its holder is gone."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from infra.store.lease import (
    SKEW_SECONDS,
    Lease,
    LeaseLost,
    acquire,
    heartbeat,
    holder_name,
    lease_or_result,
    this_process,
)
from infra.store.store import Store, StoreUnavailable
from tests.support.stores import InterruptedStore

PATH = "runs/a/_work/iteration=1/train_solver/k/leases/stage"
TTL = 60.0


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _acquire(store: Store, clock: Clock, holder: str) -> Lease | None:
    return acquire(store, PATH, holder, TTL, clock)


def _held(store: Store, clock: Clock, holder: str) -> Lease:
    lease = _acquire(store, clock, holder)
    assert lease is not None
    return lease


def test_while_one_holds_it_no_other_gets_it(store: Store, clock: Clock) -> None:
    _held(store, clock, "a")
    assert _acquire(store, clock, "b") is None
    clock.now += TTL + SKEW_SECONDS
    assert _acquire(store, clock, "b") is None


def test_a_released_one_is_free_at_once(store: Store, clock: Clock) -> None:
    first = _held(store, clock, "a")
    first.release()
    second = _held(store, clock, "b")
    assert second.number == first.number + 1
    assert store.names(PATH) == ["00000002.json"]


def test_a_holder_that_wakes_up_touches_nothing_of_a_stranger_with_the_same_number(
    store: Store, clock: Clock
) -> None:
    """Numbers begin again once a lease was discarded."""
    first = _held(store, clock, "a")
    clock.now += TTL + SKEW_SECONDS + 1
    _held(store, clock, "b").discard()
    stranger = _held(store, clock, "c")
    assert stranger.number == first.number
    before = {name: store.read(f"{PATH}/{name}") for name in store.names(PATH)}
    assert not first.renew()
    with pytest.raises(LeaseLost, match="taken this work over"):
        first.check()
    first.release()
    first.discard()
    assert {name: store.read(f"{PATH}/{name}") for name in store.names(PATH)} == before
    stranger.check()


def test_a_discard_that_comes_late_leaves_a_strangers_lease_alone(store: Store, clock: Clock) -> None:
    first = _held(store, clock, "a")
    clock.now += TTL + SKEW_SECONDS + 1
    _held(store, clock, "b").discard()
    stranger = _held(store, clock, "c")
    first.discard()
    stranger.check()


def test_who_does_not_renew_loses_it_and_learns_of_it(store: Store, clock: Clock) -> None:
    first = _held(store, clock, "a")
    clock.now += TTL + SKEW_SECONDS + 1
    second = _held(store, clock, "b")
    assert not first.renew()
    assert first.is_lost
    first.release()
    assert second.renew()
    assert _acquire(store, clock, "c") is None


def test_who_renews_keeps_it(store: Store, clock: Clock) -> None:
    lease = _held(store, clock, "a")
    for _ in range(10):
        clock.now += TTL / 3
        assert lease.renew()
        assert _acquire(store, clock, "b") is None


def test_an_old_holder_that_wakes_up_does_not_disturb_its_successor(store: Store, clock: Clock) -> None:
    interrupted = InterruptedStore(store.uri)
    first = _held(interrupted, clock, "a")
    clock.now += TTL + SKEW_SECONDS + 1
    successors: list[Lease] = []
    interrupted.before["put"] = lambda: successors.append(_held(store, clock, "b"))
    first.renew()
    assert successors[0].renew()
    assert not first.renew()
    assert _acquire(store, clock, "c") is None


def test_of_many_that_take_over_exactly_one_gets_it(store: Store, clock: Clock) -> None:
    _held(store, clock, "gone")
    clock.now += TTL + SKEW_SECONDS + 1
    gate = threading.Barrier(8)
    won: list[Lease] = []

    def take(number: int) -> None:
        gate.wait()
        lease = _acquire(store, clock, str(number))
        if lease is not None:
            won.append(lease)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [lease.number for lease in won] == [2]
    assert won[0].renew()


def test_who_waits_says_once_for_whom(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    other = _held(store, clock, "train_solver of iteration 2 of first")
    made: list[str] = []
    told: list[str] = []

    def wait(seconds: float) -> None:
        clock.now += TTL / 3
        other.renew()
        if clock.now > 1000 + 5 * TTL:
            made.append("made")

    def find() -> str | None:
        return made[0] if made else None

    monkeypatch.setattr("infra.store.lease.log.info", lambda line, *values: told.append(line % values))
    with lease_or_result(store, PATH, "me", find, TTL, clock, wait) as found:
        assert found == "made"
    assert told == ["waits for train_solver of iteration 2 of first, which does the same work"]


def test_a_killed_process_of_this_machine_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from infra.store.lease import acquire\n"
        "from infra.store.store import Store\n"
        f"assert acquire(Store(sys.argv[1]), {PATH!r}, 'killed', 3600.0) is not None\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    process = subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=60, check=False)
    assert process.returncode == -9
    lease = acquire(Store(str(tmp_path)), PATH, "next", 3600.0)
    assert lease is not None
    assert lease.number == 2


def test_a_process_of_another_machine_is_waited_for(store: Store, clock: Clock) -> None:
    gone = {"machine": "another", "pid": 2**22 + 1, "started": "1"}
    assert acquire(store, PATH, "far away", TTL, clock, gone) is not None
    assert _acquire(store, clock, "b") is None
    clock.now += TTL + SKEW_SECONDS + 1
    assert _acquire(store, clock, "b") is not None


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_process_of_another_user_that_proc_hides_is_asked_by_a_signal(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch, is_alive: bool
) -> None:
    """Under hidepid=2 /proc shows the processes of others as if there were none."""
    hidden = {**this_process(), "pid": 2**22 + 1}
    assert acquire(store, PATH, "another user", TTL, clock, hidden) is not None

    def kill(pid: int, signal: int) -> None:
        assert (pid, signal) == (2**22 + 1, 0)
        raise PermissionError if is_alive else ProcessLookupError

    monkeypatch.setattr(os, "kill", kill)
    assert (_acquire(store, clock, "b") is None) == is_alive


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"holder": "a"}'])
def test_a_lease_that_cannot_be_read_is_taken_over(store: Store, clock: Clock, content: bytes) -> None:
    store.put(f"{PATH}/00000007.json", content)
    assert _held(store, clock, "a").number == 8


def test_a_store_out_of_reach_does_not_cost_the_lease_before_its_time(store: Store, clock: Clock) -> None:
    interrupted = InterruptedStore(store.uri)
    lease = _held(interrupted, clock, "a")

    def unreachable() -> None:
        raise StoreUnavailable("no answer")

    clock.now += TTL / 2
    interrupted.before["names"] = unreachable
    assert lease.renew()
    clock.now += TTL
    interrupted.before["names"] = unreachable
    assert not lease.renew()
    assert lease.is_lost


def test_who_waits_gets_what_the_other_made(store: Store, clock: Clock) -> None:
    other = _held(store, clock, "a")
    made: list[str] = []
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        clock.now += seconds
        other.renew()
        if len(waited) == 3:
            made.append("the artifact")

    def result() -> str | None:
        return made[0] if made else None

    with lease_or_result(store, PATH, "b", result, TTL, clock, wait) as held:
        assert held == "the artifact"
    assert len(waited) == 3


def test_who_waits_for_one_that_is_killed_takes_over(store: Store, clock: Clock) -> None:
    _held(store, clock, "a")

    def wait(seconds: float) -> None:
        clock.now += seconds
        assert clock.now < 2000

    with lease_or_result(store, PATH, "b", lambda: None, TTL, clock, wait) as held:
        assert isinstance(held, Lease)
        assert held.number == 2
    assert clock.now <= 1000 + TTL + SKEW_SECONDS + 3
    assert _acquire(store, clock, "c") is not None


def test_a_holder_from_a_machine_with_a_wrong_clock_is_not_waited_for_for_ever(
    store: Store, clock: Clock
) -> None:
    tomorrow = Clock()
    tomorrow.now += 86400
    _held(store, tomorrow, "a")

    def wait(seconds: float) -> None:
        clock.now += seconds
        assert clock.now < 2000

    with lease_or_result(store, PATH, "b", lambda: None, TTL, clock, wait) as held:
        assert isinstance(held, Lease)
    assert clock.now <= 1000 + TTL + SKEW_SECONDS + 3


def test_what_was_finished_at_the_last_moment_is_not_done_again(store: Store, clock: Clock) -> None:
    answers = iter([None, "made"])
    with lease_or_result(store, PATH, "b", lambda: next(answers), TTL, clock) as held:
        assert held == "made"
    assert _acquire(store, clock, "c") is not None


def test_finished_work_leaves_no_lease_behind(store: Store, clock: Clock) -> None:
    made: list[str] = []
    with lease_or_result(store, PATH, "a", lambda: made[0] if made else None, TTL, clock) as held:
        assert isinstance(held, Lease)
        assert store.names(PATH) == ["00000001.json"]
        made.append("the artifact")
    assert store.names(PATH) == []
    with lease_or_result(store, PATH, "b", lambda: made[0], TTL, clock) as held:
        assert held == "the artifact"


def test_an_error_in_the_work_frees_the_lease(store: Store, clock: Clock) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        lease_or_result(store, PATH, "a", lambda: None, TTL, clock),
    ):
        raise ZeroDivisionError
    assert _acquire(store, clock, "b") is not None


def test_the_heartbeat_renews_until_the_block_ends(store: Store, clock: Clock) -> None:
    lease = _held(store, clock, "a")
    beats = threading.Semaphore(0)
    renew = lease.renew

    def counted() -> bool:
        try:
            return renew()
        finally:
            beats.release()

    lease.renew = counted  # type: ignore[method-assign]
    others = set(threading.enumerate())
    with heartbeat(lease, every_seconds=0.001):
        assert {thread.name for thread in set(threading.enumerate()) - others} == {"rzero-lease"}
        for _ in range(5):
            assert beats.acquire(timeout=30)
    assert set(threading.enumerate()) <= others
    assert not lease.is_lost


def test_a_holder_is_named_for_a_person() -> None:
    assert holder_name("run a") == f"run a on {os.uname().nodename}, process {os.getpid()}"
