"""One queue for several engines: none idles while another has more than it can draw, nothing is lost."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from infra.jobs.errors import DeviceCrash, DeviceSetupError
from infra.samplers.shared_queue import Asked, Drawn, SharedQueue

WAIT_SECONDS = 30.0


class Engine:
    """Holds what it is handed until the test has it draw."""

    def __init__(self, shared: SharedQueue, name: str, capacity: int) -> None:
        self.shared = shared
        self.name = name
        self.held: queue.SimpleQueue[Asked] = queue.SimpleQueue()
        shared.join(name, capacity, self._take)

    def _take(self, asked: Sequence[Asked]) -> None:
        for one in asked:
            self.held.put(one)

    def draw(self, count: int = 1) -> list[int]:
        """Finish so many of what it holds, in order; their seeds."""
        asked = [self.held.get(timeout=WAIT_SECONDS) for _ in range(count)]
        self.shared.finished(
            self.name, [{"number": one["number"], "text": f"drawn with {one['seed']}"} for one in asked]
        )
        return [one["seed"] for one in asked]


class Call(threading.Thread):
    """A call of `draw` in a thread of its own."""

    def __init__(self, shared: SharedQueue, groups: Sequence[Sequence[Asked]]) -> None:
        super().__init__(daemon=True)
        self._shared = shared
        self._groups = groups
        self.drawn: list[list[Drawn]] | None = None
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.drawn = self._shared.draw(self._groups)
        except Exception as error:
            self.error = error

    def ended(self) -> Call:
        self.join(WAIT_SECONDS)
        assert not self.is_alive()
        return self


@pytest.fixture
def shared() -> Iterator[SharedQueue]:
    """A queue; calls that a failed test leaves end with it."""
    made = SharedQueue()
    yield made
    made.fail(DeviceCrash("the test is over"))


def _groups(seeds: range, size: int = 1) -> list[list[dict[str, Any]]]:
    """Groups of so many sequences, told apart by their seeds."""
    return [[{"seed": seed} for seed in seeds[start : start + size]] for start in range(0, len(seeds), size)]


def _texts(seeds: range, size: int = 1) -> list[list[str]]:
    return [[f"drawn with {one['seed']}" for one in group] for group in _groups(seeds, size)]


def _drawn(call: Call) -> list[list[str]]:
    assert call.error is None
    assert call.drawn is not None
    return [[one["text"] for one in group] for group in call.drawn]


def test_a_fast_engine_draws_what_a_slow_one_has_no_room_for(shared: SharedQueue) -> None:
    slow, fast = Engine(shared, "slow", 2), Engine(shared, "fast", 2)
    call = Call(shared, _groups(range(10)))
    for _ in range(8):
        fast.draw()
    slow.draw(2)
    assert _drawn(call.ended()) == _texts(range(10))
    assert shared.drawn_by == {"slow": 2, "fast": 8}


def test_the_samples_of_a_prompt_go_to_one_engine_and_prompts_to_the_one_with_the_least(
    shared: SharedQueue,
) -> None:
    engines = [Engine(shared, name, 8) for name in ("a", "b")]
    call = Call(shared, _groups(range(12), size=3))
    assert [engine.draw(6) for engine in engines] == [[0, 1, 2, 6, 7, 8], [3, 4, 5, 9, 10, 11]]
    assert _drawn(call.ended()) == _texts(range(12), size=3)


def test_the_next_call_is_drawn_while_the_last_sequence_of_one_is_under_way(shared: SharedQueue) -> None:
    engines = [Engine(shared, name, 1) for name in ("a", "b")]
    first = Call(shared, _groups(range(2)))
    held = engines[0].held.get(timeout=WAIT_SECONDS)
    engines[1].draw()
    second = Call(shared, _groups(range(10, 13)))
    assert [engines[1].draw() for _ in range(3)] == [[10], [11], [12]]
    assert _drawn(second.ended()) == _texts(range(10, 13))
    assert first.is_alive()
    engines[0].held.put(held)
    engines[0].draw()
    assert _drawn(first.ended()) == _texts(range(2))


def test_what_a_lost_engine_held_is_drawn_once_by_the_others(shared: SharedQueue) -> None:
    lost, other = Engine(shared, "lost", 3), Engine(shared, "other", 3)
    call = Call(shared, _groups(range(9)))
    lost.draw()
    late = [lost.held.get(timeout=WAIT_SECONDS) for _ in range(3)]
    assert shared.lose("lost") == 1
    assert sorted(other.draw()[0] for _ in range(8)) == [1, 2, 3, 4, 5, 6, 7, 8]
    # What it says after that changes nothing.
    shared.finished("lost", [{"number": one["number"], "text": "late"} for one in late])
    assert _drawn(call.ended()) == _texts(range(9))
    assert shared.drawn_by == {"lost": 1, "other": 8}


def test_an_engine_that_joins_late_takes_its_part(shared: SharedQueue) -> None:
    first = Engine(shared, "first", 1)
    call = Call(shared, _groups(range(4)))
    first.draw()
    late = Engine(shared, "late", 2)
    assert late.draw(2) == [2, 3]
    first.draw()
    assert _drawn(call.ended()) == _texts(range(4))


def test_with_the_last_engine_every_call_ends_with_its_error_and_so_does_the_next(
    shared: SharedQueue,
) -> None:
    Engine(shared, "only", 1)
    calls = [Call(shared, _groups(range(3))), Call(shared, _groups(range(3)))]
    assert shared.lose("only") == 0
    shared.fail(DeviceCrash("the engine is gone"))
    for call in (*calls, Call(shared, _groups(range(1)))):
        assert isinstance(call.ended().error, DeviceCrash)
        assert str(call.error) == "the engine is gone"


def test_a_prompt_that_is_refused_ends_its_own_call_alone(shared: SharedQueue) -> None:
    engine = Engine(shared, "a", 2)
    bad = Call(shared, _groups(range(5)))
    refused = engine.held.get(timeout=WAIT_SECONDS)
    shared.finished("a", [{"number": refused["number"], "refused": "prompt 0 is empty"}])
    assert isinstance(bad.ended().error, DeviceSetupError)
    assert str(bad.error) == "prompt 0 is empty"
    good = Call(shared, _groups(range(20, 22)))
    # One of the first call was on its way already; what had not been handed out never is.
    assert [engine.draw()[0] for _ in range(3)] == [1, 20, 21]
    assert _drawn(good.ended()) == _texts(range(20, 22))


def test_an_engine_without_work_is_not_busy(shared: SharedQueue) -> None:
    engine = Engine(shared, "a", 1)
    assert shared.busy_seconds("a") == 0.0
    call = Call(shared, _groups(range(1)))
    engine.held.put(engine.held.get(timeout=WAIT_SECONDS))
    assert shared.busy_seconds("a") > 0.0
    engine.draw()
    call.ended()
    assert shared.busy_seconds("a") == 0.0


def test_what_is_passed_on_is_told_as_it_is_drawn_with_the_engine_that_did_it(shared: SharedQueue) -> None:
    engine = Engine(shared, "a", 2)
    told: list[tuple[int, str, str]] = []
    shared.pass_on(
        _groups(range(3)), lambda asked, drawn: told.append((asked["seed"], drawn["text"], drawn["by"]))
    )
    engine.draw()
    assert told == [(0, "drawn with 0", "a")]
    assert shared.holds("a") == 2
    engine.draw(2)
    assert [seed for seed, _, _ in told] == [0, 1, 2]
    assert shared.holds("a") == 0
