"""How often a stage is tried, in Prefect itself: time limits, what passes, what does not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect import flow

from data.resolve import resolve
from infra.artifacts.artifact import ArtifactRef, manifest_of
from infra.artifacts.runs import freeze_run, load_run
from infra.store.store import Store, StoreError, StoreUnavailable
from tasks.stage.errors import StageError
from tasks.stage.graph import locate
from tasks.stage.retries import StageTimeout
from tasks.stage.task import RETRIES, Run, StageTask, part_of, stage
from tasks.stage.work import Work

MODEL = ArtifactRef(uri="nowhere", digest="d", kind="model", bytes=1)


@pytest.fixture
def run(prefect_server: None, tmp_path: Path) -> Run:
    return Run(config=resolve("a", store=str(tmp_path / "store")), iteration=0)


def _limited(run: Run, seconds: int) -> Run:
    limits = {"prepare_base_model": seconds, "generate_questions": seconds}
    return Run(config=run.config.model_copy(update={"timeout_seconds": limits}), iteration=0)


def _without_delay(made: StageTask) -> StageTask:
    made.prefect_task = made.prefect_task.with_options(retry_delay_seconds=0)
    return made


def _base_model(tmp_path: Path, seen: list[int], fail: Callable[[int], object]) -> StageTask:
    """A stage that writes a model once `fail(attempt)` returns."""

    def body(work: Work) -> None:
        """A model."""
        seen.append(len(seen) + 1)
        fail(seen[-1])
        folder = tmp_path / "model"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text("{}")
        work.add_model(folder)

    return _without_delay(stage("prepare_base_model")(body))


def _called(made: StageTask, run: Run, **inputs: Any) -> ArtifactRef:
    @flow(name="one-stage", persist_result=False)
    def one_stage() -> None:
        found.append(made(run, **inputs))

    found: list[ArtifactRef] = []
    one_stage()
    return found[0]


def _never_ends() -> None:
    threading.Event().wait(60)
    raise AssertionError("the time limit did not come")


def test_a_stage_that_hangs_is_stopped_and_the_next_attempt_may_succeed(run: Run, tmp_path: Path) -> None:
    seen: list[int] = []
    made = _base_model(tmp_path, seen, lambda attempt: attempt > 1 or _never_ends())
    # Long enough for the second attempt on a machine that is busy with other things.
    assert _called(made, _limited(run, 5)).kind == "model"
    assert seen == [1, 2]


def test_a_stage_that_hangs_each_time_is_an_error_that_names_the_setting(run: Run, tmp_path: Path) -> None:
    seen: list[int] = []
    with pytest.raises(StageTimeout, match=r"limit of 3 s, 3 times.* raise timeout_seconds\.prepare_base"):
        _called(_base_model(tmp_path, seen, lambda attempt: _never_ends()), _limited(run, 3))
    assert len(seen) == RETRIES + 1
    location = locate(run.config, 0, "prepare_base_model", {})
    assert run.store.sizes(location.path) == {}
    names = run.store.names(f"{location.work}/leases/stage")
    assert [name.partition("-")[0] for name in names] == ["00000003", "00000003.json"]


def test_a_store_that_is_away_for_a_while_costs_attempts_only(run: Run, tmp_path: Path) -> None:
    seen: list[int] = []

    def away(attempt: int) -> None:
        if attempt < 3:
            raise StoreUnavailable("does not answer")

    assert _called(_base_model(tmp_path, seen, away), run).kind == "model"
    assert seen == [1, 2, 3]


@pytest.mark.parametrize(
    "error", [StageError("nothing was kept"), StoreError("denies access"), ValueError("a bug")], ids=repr
)
def test_what_cannot_pass_is_tried_once(run: Run, tmp_path: Path, error: Exception) -> None:
    seen: list[int] = []

    def fails(attempt: int) -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        _called(_base_model(tmp_path, seen, fails), run)
    assert seen == [1]


def _shards(run: Run, fail: Callable[[int], None]) -> Callable[[], None]:
    """A flow of three shards, and a stage that gathers them."""

    def write(work: Work, part: int, challenger: ArtifactRef) -> None:
        """A shard."""
        fail(part)
        work.add_part(part, [])

    def gather(work: Work, challenger: ArtifactRef, parts: list[ArtifactRef]) -> None:
        """All shards."""
        work.gather(len(parts))

    parts = _without_delay(part_of("generate_questions")(write))
    whole = stage("generate_questions")(gather)

    @flow(name="sharded", persist_result=False)
    def sharded() -> None:
        made = parts.map_parts(run, 3, challenger=MODEL)
        whole(run, challenger=MODEL, parts=made)

    return sharded


def test_the_error_of_a_shard_is_the_error_of_the_flow_and_the_other_shards_are_kept(run: Run) -> None:
    def fails(part: int) -> None:
        if part == 1:
            raise StageError("shard 1 cannot be made")

    with pytest.raises(StageError, match="shard 1 cannot be made"):
        _shards(run, fails)()
    location = locate(run.config, 0, "generate_questions", {"challenger": MODEL})
    names = run.store.names(f"{location.work}/parts")
    assert [name for name in names if name.endswith(".json")] == ["part-00000.json", "part-00002.json"]


def test_a_shard_that_hangs_is_stopped_too(run: Run) -> None:
    waiting = threading.Event()

    def hangs(part: int) -> None:
        while part == 1:
            waiting.wait(0.01)

    with pytest.raises(StageTimeout, match=r"generate_questions of iteration 0 took longer than its limit"):
        _shards(_limited(run, 1), hangs)()


def test_a_time_limit_may_change_when_a_run_is_resumed(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    freeze_run(store, resolve("a"))
    freeze_run(store, resolve("a", overrides=["timeout_seconds.evaluate=60"]))
    saved = load_run(store, "a")
    assert saved is not None
    assert saved.timeout_seconds == {"evaluate": 60}


@pytest.mark.parametrize(
    ("override", "reaches"),
    [("memory.replay_share=0.3", False), ("challenger.reward.memory.weight=0.5", True)],
)
def test_what_an_artifact_is_not_made_from_does_not_reach_its_stage(
    prefect_server: None, tmp_path: Path, override: str, reaches: bool
) -> None:
    handed: list[ArtifactRef | None] = []

    def body(
        work: Work, challenger: ArtifactRef, solver: ArtifactRef, earlier: ArtifactRef | None = None
    ) -> None:
        """A model."""
        handed.append(earlier)
        folder = tmp_path / "model"
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        work.add_model(folder)

    config = resolve("a", store=str(tmp_path / "store"), overrides=[override])
    made = _called(
        stage("train_challenger")(body),
        Run(config=config, iteration=2),
        challenger=MODEL,
        solver=MODEL,
        earlier=MODEL,
    )
    assert handed == [MODEL if reaches else None]
    manifest = manifest_of(Store(config.store), made)
    assert ("earlier" in manifest.inputs) is reaches
