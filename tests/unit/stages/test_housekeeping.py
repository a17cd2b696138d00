"""What may go and what must stay, and that a removal which is killed harms nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.config import RunConfig
from data.resolve import resolve
from infra.artifacts.artifact import MANIFEST, Location, find
from infra.artifacts.checkpoints import StoreCheckpoints
from infra.artifacts.damage import set_aside
from infra.store.lease import acquire, this_process
from infra.store.store import Store
from tasks.stage import graph, housekeeping
from tasks.stage.housekeeping import LEFTOVER_SECONDS, Plan, plan, remove
from tasks.stage.walk import walk
from tasks.stage.work import lease_path

Finish = Callable[..., list[Location]]
OTHER = "f" * 64


@pytest.fixture
def config() -> RunConfig:
    return resolve("a", iterations=2)


def _paths(found: Plan, what: str | None = None) -> set[str]:
    return {item.path for item in found.removable if what in (None, item.what)}


def _other_key(store: Store, like: Location) -> Location:
    """The same artifact under a key that the run does not reach."""
    other = like.model_copy(update={"key": OTHER})
    for source, target in ((like.path, other.path), (like.work, other.work)):
        for name in store.sizes(source):
            store.put(f"{target}/{name}", store.read(f"{source}/{name}"))
    return other


def _checkpoints(store: Store, location: Location, tmp_path: Path, steps: range) -> None:
    folder = tmp_path / "state"
    folder.mkdir(exist_ok=True)
    for step in steps:
        (folder / "state.bin").write_bytes(b"12345")
        StoreCheckpoints(store, location).save(step, folder)


def _everything(store: Store) -> dict[str, int]:
    return store.sizes("")


def test_of_a_finished_run_nothing_may_go(store: Store, config: RunConfig, finish: Finish) -> None:
    finish(config, 2, 17)
    found = plan(store, [config])
    assert (found.removable, found.spared) == ([], [])


def test_an_artifact_under_a_key_that_is_reached_no_more_may_go(
    store: Store, config: RunConfig, finish: Finish
) -> None:
    made = finish(config, 1, 10)
    old = _other_key(store, made[4])
    half = Location(run="a", iteration=1, stage="evaluate", key=OTHER)
    store.put(f"{half.path}/part-00000.parquet", b"half")
    found = plan(store, [config])
    assert _paths(found) == {old.path, half.path}
    there = [*store.sizes(old.path).values(), *store.sizes(old.work).values()]
    assert found.bytes == sum(there) + 4
    before = _everything(store)
    assert all(remove(store, item) for item in found.removable)
    gone = set(before) - set(_everything(store))
    assert gone == {name for name in before if name.startswith((old.path, old.work, half.path))}


def test_an_old_key_stays_while_the_run_has_nothing_in_its_place(
    store: Store, config: RunConfig, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an upgrade that changes what a stage computes, before the run has made it anew."""
    made = finish(config, 1, 10)
    stage = graph.STAGES["train_challenger"]
    newer = replace(stage, version=stage.version + 1)
    monkeypatch.setitem(graph.STAGES, "train_challenger", newer)
    found = plan(store, [config])
    assert found.removable == []
    assert [line.split(":")[0] for line in found.spared] == [place.path for place in reversed(made[3:])]
    finish(config, 1, 1)
    assert _paths(plan(store, [config])) == {made[3].path}


def test_what_a_newer_version_made_stays(
    store: Store, config: RunConfig, finish: Finish, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = finish(config, 1, 10)
    stage = graph.STAGES["evaluate"]
    newer = replace(stage, version=stage.version + 1)
    with monkeypatch.context() as patch:
        patch.setitem(graph.STAGES, "evaluate", newer)
        newest = finish(config, 1, 2)
        assert _paths(plan(store, [config])) == {made[2].path, made[9].path}
    found = plan(store, [config])
    assert found.removable == []
    assert len(found.spared) == len(newest) == 2


def test_while_an_artifact_is_damaged_nothing_that_may_follow_from_it_goes(
    store: Store, config: RunConfig, finish: Finish
) -> None:
    made = finish(config, 1, 10)
    set_aside(store, made[4])
    found = plan(store, [config])
    assert found.removable == []
    assert len(found.spared) == 6, "what was set aside and is not made again, and the five stages after it"
    finish(config, 1, 1)
    found = plan(store, [config])
    assert _paths(found) == _paths(found, "damaged artifact") == {made[4].path}
    assert all(remove(store, item) for item in found.removable)
    assert sorted(store.sizes(made[4].path)) == ["_damage.json"], "so that it is never used again"
    assert all(step.ref for step in walk(store, config, 1))
    assert plan(store, [config]).removable == []


@pytest.mark.parametrize(("keep", "left"), [(0, []), (1, [4]), (2, [2, 4]), (99, [2, 4])])
def test_of_a_finished_training_only_the_last_checkpoints_stay(
    store: Store, config: RunConfig, finish: Finish, tmp_path: Path, keep: int, left: list[int]
) -> None:
    made = finish(config, 1, 10)
    _checkpoints(store, made[3], tmp_path, range(2, 5, 2))
    for item in plan(store, [config], keep_checkpoints=keep).removable:
        assert remove(store, item)
    files = store.sizes(f"{made[3].work}/checkpoints")
    assert sorted({name.rpartition("-")[0] for name in files}) == [f"step-{step:06d}" for step in left]


def test_an_unfinished_training_keeps_its_checkpoints_and_its_shards(
    store: Store, config: RunConfig, finish: Finish, tmp_path: Path
) -> None:
    finish(config, 1, 3)
    training = walk(store, config, 1)[3].location
    assert training is not None
    _checkpoints(store, training, tmp_path, range(2, 4))
    store.put(f"{training.work}/parts/part-00000.json", b"{}")
    assert plan(store, [config], keep_checkpoints=0).removable == []


def test_iterations_that_are_not_kept_go_but_not_what_a_kept_one_is_made_from(
    store: Store, config: RunConfig, finish: Finish
) -> None:
    made = finish(config, 2, 17)
    later = {place.path for place in made if place.iteration == 2}
    evaluations = {place.path for place in made if "evaluat" in place.stage}
    assert _paths(plan(store, [config], {0, 1})) == later
    assert _paths(plan(store, [config], {1})) == later | {made[1].path, made[2].path}
    assert _paths(plan(store, [config], {2})) == evaluations - later
    for item in plan(store, [config], {1}).removable:
        assert remove(store, item)
    assert [step.ref is not None for step in walk(store, config, 1)] == [True, False, False] + [True] * 7


def test_iterations_beyond_the_configured_number_are_kept(
    store: Store, config: RunConfig, finish: Finish
) -> None:
    finish(config.model_copy(update={"iterations": 3}), 3, 24)
    assert plan(store, [config]).removable == []


def test_what_is_worked_on_is_protected_with_all_it_is_made_from(
    store: Store, config: RunConfig, finish: Finish
) -> None:
    made = finish(config, 2, 12)
    training = walk(store, config, 2)[12].location
    assert training is not None
    assert acquire(store, lease_path(training, 3), "another run") is not None
    found = plan(store, [config], {0})
    assert _paths(found) == {made[8].path, made[9].path}, "only the evaluation of iteration 1"


def test_a_run_that_is_worked_on_under_other_keys_is_left_alone(
    store: Store, config: RunConfig, finish: Finish
) -> None:
    made = finish(config, 1, 10)
    old = _other_key(store, made[4])
    assert acquire(store, lease_path(old), "another version") is not None
    found = plan(store, [config])
    assert found.removable == []
    assert [old.path in line for line in found.spared] == [True]


@pytest.mark.parametrize("lease", [None, 1])
def test_who_begins_to_work_between_the_listing_and_the_removal_is_not_disturbed(
    store: Store, config: RunConfig, finish: Finish, lease: int | None
) -> None:
    made = finish(config, 1, 10)
    old = _other_key(store, made[4])
    (item,) = plan(store, [config]).removable
    held = acquire(store, lease_path(old, lease), "quick")
    assert held is not None
    before = _everything(store)
    assert not remove(store, item)
    assert _everything(store) == before
    assert held.renew()


def test_what_was_finished_between_the_listing_and_the_removal_stays(
    store: Store, config: RunConfig, finish: Finish
) -> None:
    made = finish(config, 1, 10)
    old = _other_key(store, made[4])
    manifest = store.read(f"{old.path}/{MANIFEST}")
    store.remove(f"{old.path}/{MANIFEST}")
    (item,) = plan(store, [config]).removable
    store.put(f"{old.path}/{MANIFEST}", manifest)
    before = _everything(store)
    assert not remove(store, item)
    assert _everything(store) == before


def test_an_artifact_stays_while_the_one_in_its_place_is_not_whole(
    store: Store, config: RunConfig, finish: Finish
) -> None:
    """The same size, another byte: only its sha256 tells."""
    made = finish(config, 1, 10)
    old = _other_key(store, made[4])
    (item,) = plan(store, [config]).removable
    name = next(name for name in store.sizes(made[4].path) if not name.startswith("_"))
    content = store.read(f"{made[4].path}/{name}")
    store.put(f"{made[4].path}/{name}", bytes([content[0] ^ 1]) + content[1:])
    assert not remove(store, item)
    assert find(store, old) is not None


def test_what_a_writer_left_that_died_may_go(store: Store, config: RunConfig, finish: Finish) -> None:
    (base,) = finish(config, 1, 1)
    store.put(f"{base.work}/writers/0123/model.safetensors.new", b"half of it")
    assert acquire(store, lease_path(base), "at work") is not None
    assert plan(store, [config]).removable == []
    store.remove(f"{base.work}/leases")
    (item,) = plan(store, [config]).removable
    assert (item.path, item.bytes) == (f"{base.work}/writers", 10)
    assert remove(store, item)
    assert find(store, base) is not None


def test_a_lease_whose_holder_is_gone_may_go(store: Store, config: RunConfig, finish: Finish) -> None:
    (base,) = finish(config, 1, 1)
    assert acquire(store, lease_path(base), "living") is not None
    gone = {**this_process(), "pid": 2**22 + 1}
    assert acquire(store, lease_path(base, 0), "killed", process=gone) is not None
    found = plan(store, [config])
    assert _paths(found) == _paths(found, "lease") == {lease_path(base, 0)}
    assert remove(store, found.removable[0])
    assert store.names(lease_path(base)) == ["00000001.json"]
    assert plan(store, [config]).removable == []


def test_a_half_written_file_may_go_once_nobody_writes_to_it(
    store: Store, config: RunConfig, finish: Finish
) -> None:
    (base,) = finish(config, 1, 1)
    for name, age_seconds in (("old", LEFTOVER_SECONDS + 60), ("new", 0)):
        path = Path(store.full(f"{base.path}/.tmp-{name}"))
        path.write_bytes(b"half of it")
        changed = path.stat().st_mtime - age_seconds
        os.utime(path, (changed, changed))
    found = plan(store, [config])
    assert [(item.path, item.bytes) for item in found.removable] == [(f"{base.path}/.tmp-old", 10)]
    assert remove(store, found.removable[0])
    assert not Path(store.full(f"{base.path}/.tmp-old")).exists()
    assert Path(store.full(f"{base.path}/.tmp-new")).exists()


def test_prefect_results_go_with_their_artifacts(store: Store, config: RunConfig, finish: Finish) -> None:
    made = finish(config, 2, 17)
    place = "0123456789abcdef"
    kept, gone = made[5].key, made[-1].key
    for name in (
        f"a-{kept}-{place}",
        f"a-{kept}-part-00000-{place}",
        f"a-{gone}-{place}",
        f"b-{OTHER}-{place}",
    ):
        store.put(f"prefect-results/{name}", b"{}")
    store.put("prefect-results/somebody-elses", b"{}")
    found = plan(store, [config], {0, 1})
    assert _paths(found, "Prefect result") == {f"prefect-results/a-{gone}-{place}"}


def test_a_removal_that_is_killed_at_any_moment_leaves_nothing_half_visible(
    store: Store, config: RunConfig, finish: Finish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = finish(config, 1, 10)
    old = _other_key(store, made[3])
    _checkpoints(store, old, tmp_path, range(2, 4))
    _checkpoints(store, made[3], tmp_path, range(2, 4))
    store.put(f"{old.path}/rollouts/part-00000.parquet", b"rollouts")
    before = _everything(store)
    wanted = {name for name in before if name.startswith(old.path)}
    wanted |= {name for name in before if name.startswith(old.work)}
    wanted |= {name for name in before if "checkpoints/step-000002" in name}

    class Killed(BaseException):
        pass

    unlink = os.unlink
    moments = 0
    while True:
        left = [moments]

        def killed(path: Any, *arguments: Any, left: list[int] = left, **options: Any) -> None:
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            unlink(path, *arguments, **options)

        try:
            with monkeypatch.context() as patch:
                patch.setattr(os, "unlink", killed)
                for item in plan(store, [config]).removable:
                    remove(store, item)
            break
        except Killed:
            moments += 1
            assert all(step.ref for step in walk(store, config, 1))
            files = _everything(store)
            assert (f"{old.path}/{MANIFEST}" in files) == (find(store, old) is not None)
            checkpoint = StoreCheckpoints(store, made[3]).newest()
            assert checkpoint is not None
            assert checkpoint[0] == 3
        # What the killed one held is free: its process is gone.
        store.remove(f"{old.work}/leases")
    assert moments > 3
    assert set(before) - set(_everything(store)) == wanted
    assert plan(store, [config]).removable == []
    assert housekeeping.plan(store, [config]).bytes == 0
