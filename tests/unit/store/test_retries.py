"""What passes is tried again with growing delays, within a bound; what does not is not."""

import random

import pytest

from infra.retries import Retries
from infra.store.errors import PATIENCE, StoreError, patience_seconds


class Time:
    """A clock that moves when someone sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


def _retries(time: Time, patience: float = 60.0) -> Retries:
    return Retries(patience, 0.2, 8.0, sleep=time.sleep, clock=time.clock)


def test_the_answer_of_a_later_attempt_counts() -> None:
    time = Time()

    def request(attempt: int) -> int:
        if attempt < 4:
            raise ConnectionError
        return attempt

    assert _retries(time).run(request, lambda error: True, "it") == 4
    assert len(time.slept) == 3


def test_the_delays_grow_and_the_patience_ends() -> None:
    time = Time()

    def request(_: int) -> None:
        raise ConnectionError("still not")

    with pytest.raises(ConnectionError, match="still not"):
        _retries(time).run(request, lambda error: True, "it")
    assert time.now <= 60
    assert time.now > 40
    for number, slept in enumerate(time.slept):
        longest = min(0.2 * 2**number, 8.0)
        assert longest / 2 <= slept <= longest


def test_an_error_that_does_not_pass_is_raised_at_once() -> None:
    time = Time()

    def request(_: int) -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        _retries(time).run(request, lambda error: isinstance(error, ConnectionError), "it")
    assert time.slept == []


def test_the_seed_of_a_run_is_not_touched() -> None:
    random.seed(5)
    before = random.getstate()

    def request(attempt: int) -> None:
        if attempt < 3:
            raise ConnectionError

    _retries(Time()).run(request, lambda error: True, "it")
    assert random.getstate() == before


def test_the_patience_is_set_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PATIENCE, "2.5")
    assert patience_seconds() == 2.5
    monkeypatch.setenv(PATIENCE, "soon")
    with pytest.raises(StoreError, match="'soon', not a number of seconds"):
        patience_seconds()
