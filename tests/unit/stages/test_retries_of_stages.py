"""What a stage does after an error: try again, try with smaller batches, or give up at once."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.config import RunConfig
from data.resolve import ConfigError, resolve
from infra.artifacts.artifact import ArtifactRef, read_manifest
from infra.jobs.errors import DeviceOutOfMemory
from infra.machine.memory import OutOfMemory
from infra.store.store import Store, StoreError, StoreUnavailable
from infra.trainers.errors import CheckpointError, NonFiniteError, RewardError
from tasks.stage.batches import halved
from tasks.stage.errors import StageError
from tasks.stage.graph import locate
from tasks.stage.retries import HALVINGS, is_transient, with_smaller_batches
from tasks.stage.work import Work

REF = ArtifactRef(uri="made/before", digest="0" * 64, kind="model", bytes=1)
NO_MEMORY = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"


@pytest.mark.parametrize(
    "error",
    [
        StoreUnavailable("the store does not answer"),
        ConnectionResetError(),
        TimeoutError(),
        OSError(errno.EIO, "input/output error"),
        OSError(errno.ESTALE, "stale file handle"),
        OutOfMemory("solver, step 1: out of memory"),
        OutOfMemory("not one completion fits"),
    ],
    ids=repr,
)
def test_what_can_pass_by_itself_is_tried_again(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        StageError("no question was kept"),
        ConfigError("solver.steps: must be set"),
        StoreError("denies access"),
        NonFiniteError("a weight is not finite"),
        RewardError("one reward too few"),
        CheckpointError("of another job"),
        OSError(errno.ENOSPC, "no space left on device"),
        FileNotFoundError(errno.ENOENT, "no such file"),
        PermissionError(errno.EACCES, "permission denied"),
        ValueError("a bug"),
        None,
    ],
    ids=repr,
)
def test_what_cannot_pass_is_not_tried_again(error: Exception | None) -> None:
    assert not is_transient(error)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    config = resolve("a")
    location = locate(config, 0, "prepare_base_model", {})
    return Work(config, 0, Store(str(tmp_path / "store")), location)


def _fails(times: int, error: Exception, seen: list[RunConfig]) -> Callable[..., None]:
    def body(work: Work, **inputs: Any) -> None:
        seen.append(work.whole_config)
        work.figures["attempts"] = len(seen)
        if len(seen) <= times:
            raise error

    return body


def test_out_of_memory_begins_again_with_half_the_batch_and_says_so(work: Work) -> None:
    seen: list[RunConfig] = []
    before = work.whole_config
    with_smaller_batches(_fails(2, RuntimeError(NO_MEMORY), seen))(work)
    assert [config.solver.micro_batch_size for config in seen] == [64, 32, 16]
    assert [config.challenger.micro_batch_size for config in seen] == [64, 32, 16]
    assert [config.sampler.batch_tokens for config in seen] == [65536, 32768, 16384]
    assert work.figures == {"batch_halvings": 2, "attempts": 3}
    work.commit({})
    manifest = read_manifest(work.store, locate(before, 0, "prepare_base_model", {}))
    assert manifest is not None
    assert manifest.config == before.model_dump(mode="json")


def test_after_a_few_halvings_the_error_comes_through(work: Work) -> None:
    seen: list[RunConfig] = []
    with pytest.raises(OutOfMemory, match="try a micro_batch_size"):
        with_smaller_batches(_fails(99, OutOfMemory("out of memory; try a micro_batch_size"), seen))(work)
    assert len(seen) == HALVINGS + 1


def test_memory_that_a_training_elsewhere_lacks_halves_its_batches_too(tmp_path: Path) -> None:
    config = resolve("a", "qwen3-4b", [])
    seen: list[RunConfig] = []
    location = locate(config, 1, "train_solver", {"solver": REF, "curriculum": REF})
    work = Work(config, 1, Store(str(tmp_path / "store")), location)
    error = DeviceOutOfMemory("verl: not enough memory (CUDA out of memory. Tried to allocate 5.20 GiB)")
    with_smaller_batches(_fails(1, error, seen))(work)
    assert [each.solver.micro_batch_size for each in seen] == [4, 2]


def test_an_engine_that_lacks_memory_is_not_started_again_for_nothing(tmp_path: Path) -> None:
    config = resolve("a", "qwen3-4b")
    seen: list[RunConfig] = []
    location = locate(config, 1, "generate_questions", {"challenger": REF})
    work = Work(config, 1, Store(str(tmp_path / "store")), location)
    with pytest.raises(DeviceOutOfMemory):
        with_smaller_batches(_fails(9, DeviceOutOfMemory("vllm: not enough memory"), seen))(work)
    assert len(seen) == 1


def test_any_other_error_is_raised_at_once(work: Work) -> None:
    seen: list[RunConfig] = []
    with pytest.raises(RuntimeError, match="own bug"):
        with_smaller_batches(_fails(99, RuntimeError("own bug"), seen))(work)
    assert len(seen) == 1


def test_what_was_written_before_memory_ran_out_is_not_in_the_artifact(work: Work, tmp_path: Path) -> None:
    def body(work: Work) -> None:
        name = f"{work.whole_config.solver.micro_batch_size}.bin"
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_bytes(b"weights")
        work.add_model(folder)
        if work.whole_config.solver.micro_batch_size == 64:
            raise MemoryError

    with_smaller_batches(body)(work)
    ref = work.commit({})
    assert ref.bytes == len(b"weights")


def test_smaller_batches_are_all_that_halving_changes() -> None:
    config = resolve("a")
    smaller = halved(config)
    restored = smaller.model_copy(
        update={name: getattr(config, name) for name in ("challenger", "solver", "sampler")}
    )
    assert restored == config
    for _ in range(40):
        smaller = halved(smaller)
    assert smaller.solver.micro_batch_size == smaller.sampler.batch_tokens == 1


def test_a_time_limit_changes_no_key() -> None:
    one = resolve("a")
    other = resolve("a", overrides=["timeout_seconds.prepare_base_model=5"])
    assert one != other
    assert locate(one, 0, "prepare_base_model", {}) == locate(other, 0, "prepare_base_model", {})
