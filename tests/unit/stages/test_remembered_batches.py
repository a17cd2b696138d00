"""Batches that fitted into memory are where the run begins the next time; nothing depends on it."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from data.config import RunConfig
from data.resolve import resolve
from infra.artifacts.artifact import read_manifest
from infra.artifacts.verify import artifacts_of
from infra.samplers import SamplingParams, open_sampler
from infra.store.store import Store, StoreError
from tasks.stage import housekeeping
from tasks.stage.graph import locate
from tasks.stage.retries import with_smaller_batches
from tasks.stage.work import Work
from tests.support.chat_tokenizers import chat_tokenizer, write_base_model
from tests.support.little_memory import CONFIG, LARGE, REF, work_of

HINT = "_work/batches/{}.json"
ENOUGH_FOR_16_MIB = 450


def _train(*arguments: object) -> list[int]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.little_memory", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_with_the_batches_that_fitted(tmp_path: Path) -> None:
    model = write_base_model(tmp_path / "model", chat_tokenizer(None), "a", inner=4096)
    store = tmp_path / "store"
    tried = _train(store, model, 1, ENOUGH_FOR_16_MIB, 1)
    assert len(tried) > 1
    assert tried == [LARGE // 2**halvings for halvings in range(len(tried))]
    assert _train(store, model, 1, ENOUGH_FOR_16_MIB, 0) == tried[-1:]
    location = locate(CONFIG, 1, "train_solver", {"solver": REF, "curriculum": REF})
    manifest = read_manifest(Store(str(store)), location)
    assert manifest is not None
    assert manifest.figures["batch_halvings"] == len(tried) - 1
    assert manifest.config["solver"]["micro_batch_size"] == LARGE


def _tries(work: Work, fits: int) -> list[int]:
    """The micro-batch sizes that a training tries where `fits` is the largest that fits."""
    tried: list[int] = []

    def body(work: Work) -> None:
        tried.append(work.config.solver.micro_batch_size)
        if tried[-1] > fits:
            raise MemoryError

    with_smaller_batches(body)(work)
    return tried


def test_later_iterations_begin_there_and_other_kinds_of_work_do_not(tmp_path: Path) -> None:
    assert _tries(work_of(tmp_path, 1), fits=16) == [64, 32, 16]
    assert _tries(work_of(tmp_path, 2), fits=16) == [16]
    # It is the same artifact, with or without.
    assert work_of(tmp_path, 2).location == work_of(tmp_path / "other", 2).location
    assert _tries(work_of(tmp_path, 3), fits=4) == [16, 8, 4]
    assert _tries(work_of(tmp_path, 4), fits=64) == [4]
    inputs = {"challenger": REF, "solver": REF}
    challenger = Work(CONFIG, 2, Store(str(tmp_path)), locate(CONFIG, 2, "train_challenger", inputs))
    seen: list[RunConfig] = []
    with_smaller_batches(lambda work: seen.append(work.whole_config))(challenger)
    assert seen == [CONFIG]
    assert challenger.figures == {}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"halvings": "2"}',
        b'{"halvings": -1}',
        b'{"halvings": 65}',
        b'{"more": 1}',
        b"\xff",
    ],
)
def test_a_damaged_hint_means_the_configured_size(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "runs/a/_work/batches").mkdir(parents=True)
    hint = tmp_path / "runs/a" / HINT.format("train_solver")
    hint.write_bytes(content)
    assert _tries(work_of(tmp_path, 1), fits=64) == [64]
    assert hint.read_bytes() == content
    assert _tries(work_of(tmp_path, 1), fits=32) == [64, 32]
    assert hint.read_bytes() == b'{"halvings":1}'


def test_what_cannot_be_kept_fails_no_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = work_of(tmp_path, 1)

    def full(path: str, content: bytes) -> None:
        raise StoreError("make room")

    monkeypatch.setattr(work.store, "put", full)
    assert _tries(work, fits=32) == [64, 32]


def test_a_failure_that_is_not_of_memory_keeps_nothing(tmp_path: Path) -> None:
    def body(work: Work) -> None:
        if work.config.solver.micro_batch_size == 64:
            raise MemoryError
        raise RuntimeError("own bug")

    with pytest.raises(RuntimeError, match="own bug"):
        with_smaller_batches(body)(work_of(tmp_path, 1))
    assert not list(tmp_path.rglob("*.json"))


def _small_device(most_rows: int, tried: list[int], forward: Callable[..., Any]) -> Callable[..., Any]:
    def run(self: Any, input_ids: torch.Tensor, **options: Any) -> Any:
        tried.append(len(input_ids))
        if len(input_ids) > most_rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, input_ids=input_ids, **options)

    return run


def test_smaller_batches_of_a_sampler_are_kept_for_all_sampling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import LlamaForCausalLM

    model = write_base_model(tmp_path / "model", chat_tokenizer(None), "a")
    config = resolve("a", overrides=["sampler.device=cpu"])
    store = Store(str(tmp_path / "store"))
    tried: list[int] = []
    small = _small_device(8, tried, LlamaForCausalLM.forward)
    small.__signature__ = inspect.signature(LlamaForCausalLM.forward)  # type: ignore[attr-defined]
    monkeypatch.setattr(LlamaForCausalLM, "forward", small)

    def body(work: Work) -> None:
        tried.clear()
        with open_sampler(work.config.sampler, model) as sampler:
            for seed in (1, 2):
                sampler.sample(["ab"], SamplingParams(max_tokens=4, samples=30), [seed])

    inputs = {"generate_questions": {"challenger": REF}, "sample_answers": {"questions": REF, "solver": REF}}
    works = [Work(config, 1, store, locate(config, 1, name, refs)) for name, refs in inputs.items()]
    with_smaller_batches(body)(works[0])
    # One call found out, and the next one knew. Each of two threads has half of the tokens.
    assert [rows for rows in tried if rows > 8] == [30, 15]
    assert store.get("runs/a/" + HINT.format("sampling")) == b'{"halvings":0,"batch_tokens":84}'
    with_smaller_batches(body)(works[1])
    assert max(tried) == 7
    assert works[1].figures == {}


def test_nobody_takes_the_hint_for_something_else(tmp_path: Path) -> None:
    assert _tries(work_of(tmp_path, 1), fits=16) == [64, 32, 16]
    store = Store(str(tmp_path))
    planned = housekeeping.plan(store, [CONFIG])
    assert planned.removable == []
    assert planned.spared == []
    assert list(artifacts_of(store, CONFIG.run)) == []
