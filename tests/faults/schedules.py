"""Two or three writers of one artifact, interleaved request by request, with stops, kills and late requests.

The code under test is the store's own: leases, parts, claims, manifests, damage. Each writer makes other
bytes, as GPUs do. Between any two requests to the store the schedule may let another writer go on, kill one,
let a killed one's last request arrive later, or move the clock past the end of every lease.

    python -m tests.faults.schedules --store memory --schedules 10000

What must hold, whatever the order: a manifest never lists a file that differs from it; a finished artifact
never changes; what a writer was handed as finished can be read; no table of a loser is where readers look;
and one undisturbed start afterwards finishes the artifact.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import random
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import pytest

from infra.artifacts.artifact import ArtifactRef, Location, find_manifest, newest_generation, read_table
from infra.artifacts.damage import find_or_set_aside
from infra.artifacts.parts import find_part
from infra.artifacts.verify import verify
from infra.artifacts.writer import ArtifactWriter, clear_writers
from infra.store.lease import SKEW_SECONDS, TTL_SECONDS, LeaseLost, lease_or_result
from infra.store.store import Store, StoreError, StoreUnavailable
from tasks.stage.work import lease_path
from tests.faults.actors import DECIDES, Actor, SteppedStore
from tests.support.s3_server import running_server, use_server

Choose = Callable[[int], int]
"""One of so many possibilities."""

PARTS = 2
STEPS = 400
"""After so many requests a schedule stops, and what is left is killed."""


def _table(writer: int, rows: int) -> pa.Table:
    return pa.table({"writer": [writer] * rows})


def make_whole(actor: Actor, uri: str, location: Location, number: int) -> None:
    """What a stage's task does, with content that is this writer's own."""
    store = SteppedStore(uri, actor)
    for _ in range(3):
        with contextlib.suppress(LeaseLost, StoreUnavailable):
            actor.results.append(_make(actor, store, location, number, parts=0))
            return


def make_of_parts(actor: Actor, uri: str, location: Location, number: int) -> None:
    """What the tasks of a sharded stage do."""
    store = SteppedStore(uri, actor)
    for _ in range(3):
        with contextlib.suppress(LeaseLost, StoreUnavailable):
            for part in range(PARTS):
                _make_part(actor, store, location, number, part)
            actor.results.append(_make(actor, store, location, number, PARTS))
            return


def _make(actor: Actor, store: Store, location: Location, number: int, parts: int) -> ArtifactRef:
    if (made := find_or_set_aside(store, location)) is not None:
        return made
    location, _ = newest_generation(store, location)
    find = partial(find_or_set_aside, store, location)
    with _lease(actor, store, lease_path(location), find) as held:
        if isinstance(held, ArtifactRef):
            return held
        clear_writers(store, location)
        writer = ArtifactWriter(store, location)
        writer.add_table(_table(number, 1), "side")
        if not parts:
            writer.add_table(_table(number, number + 1))
        for part in range(parts):
            found = find_part(store, location, part)
            if found is None:
                raise StoreUnavailable(f"part {part} is not there")
            writer.add_part(found)
        held.check()
        figures = {"writer": number}
        return writer.commit(kind="test", stage_version=1, seed=0, inputs={}, figures=figures, config={})


def _make_part(actor: Actor, store: Store, location: Location, number: int, part: int) -> None:
    location, _ = newest_generation(store, location)
    find = partial(find_part, store, location, part)
    with _lease(actor, store, lease_path(location, part), find) as held:
        if not hasattr(held, "check"):
            return
        writer = ArtifactWriter(store, location)
        record = writer.write_part(_table(number, part + 1), part)
        held.check()
        writer.commit_part(record, part)


def _lease(actor: Actor, store: Store, path: str, result: Callable[[], Any]) -> Any:
    def wait(seconds: float) -> None:
        actor.ask(lambda: None)

    return lease_or_result(store, path, actor.name, result, clock=lambda: actor.clock[0], wait=wait)


class Schedule:
    """One run of some writers under the orders of `choose`."""

    def __init__(self, uri: str, choose: Choose) -> None:
        self.uri, self.choose = uri, choose
        self.clock = [1000.0]
        self.location = Location(run="a", iteration=1, stage="sample_answers", key=uuid.uuid4().hex)
        self.work = (make_whole, make_of_parts)[choose(2)]
        self.plain = Store(uri)
        self.late: list[Callable[[], Any]] = []
        self.committed: dict[str, str] = {}
        self.requests = 0
        self.actors: list[Actor] = []
        self.writes_checked = -1

    def run(self) -> None:
        """Let the writers run as the orders say, then one undisturbed; AssertionError where it is broken."""
        actors = [self._actor(number) for number in range(2 + self.choose(2))]
        begun = list(actors)
        for _ in range(STEPS):
            living = [actor for actor in actors if not actor.is_over]
            if not living:
                break
            self._order(living)
        for actor in begun:
            self._kill(actor, self.choose(3))
        self._finish_undisturbed()
        for request in self.late:
            self._arrive(request)
        # What a late request has left is hidden by whoever comes next.
        find_or_set_aside(self.plain, self.location)
        self.writes_checked = -1
        self.check()
        for actor in begun:
            assert actor.error is None, f"{actor.name}: {actor.error!r}"
            self._check_results(actor)
        found = find_manifest(self.plain, self.location)
        assert found is not None
        listed = {f"{found.location.name}/{file.name}" for file in found.manifest.files}
        there = self.plain.sizes(self.location.path.rpartition("/")[0])
        read = {name for name in there if name.endswith(".parquet")}
        assert read == listed, f"a glob reads {read - listed}"
        self.plain.remove(f"runs/{self.location.run}")

    def _actor(self, number: int) -> Actor:
        actor = Actor(
            f"writer {number}",
            lambda actor: self.work(actor, self.uri, self.location, number),
            self.clock,
        )
        self.actors.append(actor)
        return actor

    def _order(self, living: list[Actor]) -> None:
        for each in living:
            each.frozen -= each.frozen > 0
        awake = [each for each in living if not each.frozen] or living
        actor = awake[self.choose(len(awake))]
        order = self.choose(20)
        if order in (0, 4):
            self.clock[0] += TTL_SECONDS + SKEW_SECONDS + 1
        elif order == 1:
            self._kill(actor, self.choose(3))
        elif order == 2 and self.late:
            self._arrive(self.late.pop(self.choose(len(self.late))))
        else:
            # A burst of one writer's requests: the others are paused for longer than one request.
            for _ in range(1 + self.choose(6)):
                if not actor.is_over:
                    actor.step()
                    self.requests += 1
                if DECIDES.search(actor.about) and self.choose(2) == 0:
                    # Paused at the worst moment, until its lease is over.
                    actor.frozen = self.choose(150)
                    self.clock[0] += TTL_SECONDS + SKEW_SECONDS + 1
                    break
        self.check()

    def _kill(self, actor: Actor, fate: int) -> None:
        request = None if actor.is_over else actor.kill()
        if request is not None and fate == 1:
            self._arrive(request)
        elif request is not None and fate == 2:
            self.late.append(request)

    @staticmethod
    def _arrive(request: Callable[[], Any]) -> None:
        # Nobody hears the answer.
        with contextlib.suppress(StoreError, OSError):
            request()

    def _finish_undisturbed(self) -> None:
        self.clock[0] += 2 * TTL_SECONDS
        last = self._actor(9)
        for _ in range(STEPS):
            if last.is_over:
                break
            last.step()
            self.requests += 1
            if last.request is None or self.requests % 4 == 0:
                self.clock[0] += TTL_SECONDS
        assert last.is_over, "the undisturbed start does not end"
        assert last.error is None, repr(last.error)
        assert last.results, "the undisturbed start made nothing"
        self.check()
        self._check_results(last)

    def _check_results(self, actor: Actor) -> None:
        for ref in actor.results:
            try:
                assert read_table(self.plain, ref).num_rows > 0
            except StoreError as error:
                raise AssertionError(f"{actor.name} was handed what cannot be read: {error}") from error

    def check(self) -> None:
        """Every finished artifact is what its manifest says, and what it always was."""
        if (writes := sum(actor.writes for actor in self.actors)) == self.writes_checked:
            return
        self.writes_checked = writes
        found = find_manifest(self.plain, self.location)
        if found is not None:
            assert verify(self.plain, found.location) == []
            path, digest = found.location.path, found.manifest.digest
            assert self.committed.setdefault(path, digest) == digest, "a finished artifact has changed"
        for path in self.committed:
            assert found is not None, "a finished artifact is gone"
            assert path == found.location.path, "a finished artifact was made again"


def run_schedules(uri: str, schedules: int, seed: int, tell: Callable[[str], None]) -> int:
    """Run so many random schedules; how many requests they made. The seed of a broken one is in the error."""
    requests, begun = 0, time.monotonic()
    for number in range(schedules):
        dice = random.Random(f"{seed} {number}")
        schedule = Schedule(uri, dice.randrange)
        try:
            schedule.run()
        except AssertionError as error:
            raise AssertionError(f"schedule {number} of seed {seed}: {error}") from error
        requests += schedule.requests
        if (number + 1) % 1000 == 0:
            tell(f"{number + 1} schedules, {requests} requests, {time.monotonic() - begun:.0f} s")
    return requests


@contextlib.contextmanager
def opened(kind: str) -> Iterator[str]:
    """The URI of an empty store of this kind."""
    if kind == "memory":
        yield f"memory://{uuid.uuid4().hex}"
    elif kind == "disk":
        with tempfile.TemporaryDirectory(prefix="rzero-schedules-") as folder:
            yield folder
    else:
        server = running_server()
        with pytest.MonkeyPatch.context() as patch:
            yield f"s3://{server.new_bucket(use_server(patch, server.endpoint))}/store"


def main() -> None:
    """Run schedules and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--store", choices=["memory", "disk", "s3"], default="memory")
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun = time.monotonic()
    logging.getLogger("rzero.store").setLevel(logging.CRITICAL)
    with opened(options.store) as uri:
        requests = run_schedules(uri, options.schedules, options.seed, partial(print, flush=True))
    told = {"store": options.store, "schedules": options.schedules, "requests": requests, "broken": 0}
    print(json.dumps(told | {"seconds": round(time.monotonic() - begun)}))


if __name__ == "__main__":
    main()
