"""Engines of the tiny model that draw from one queue; one is killed in the middle, and nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from data.backends import VllmSamplerConfig
from infra.deploy.processes import kill_and_wait, with_descendants
from infra.jobs.errors import DeviceCrash, DeviceOutOfMemory, DeviceSetupError
from infra.samplers import Completion, Sampler, SamplingParams
from infra.samplers.vllm import VllmSampler
from tests.support.waiting import wait_until

PARAMS = SamplingParams(max_tokens=24, samples=2)
PROMPTS = [f"<|solver|>{20 + n % 60}+{1 + n % 9}-{1 + n // 9 % 9}\n" for n in range(400)]
SEEDS = [1000 * n for n in range(len(PROMPTS))]


class _Shard(threading.Thread):
    """A call in a thread of its own."""

    def __init__(self, sampler: Sampler, prompts: list[str], seeds: list[int]) -> None:
        super().__init__(daemon=True)
        self._work = sampler, prompts, seeds
        self.drawn: list[list[Completion]] = []
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        sampler, prompts, seeds = self._work
        try:
            self.drawn = sampler.sample(prompts, PARAMS, seeds)
        except Exception as error:
            self.error = error


def _two_shards(sampler: VllmSampler) -> tuple[list[_Shard], Mapping[str, int]]:
    """Two calls at once, as the tasks of a stage make them, of which both engines have drawn some.

    And what each had drawn before. A cluster's engines join one after the other, so that the first could
    otherwise be done before the second is there.
    """
    while len(sampler.drawn_by) < 2:
        sampler.sample(PROMPTS[:16], PARAMS, SEEDS[:16])
    before = sampler.drawn_by
    middle = len(PROMPTS) // 2
    shards = [_Shard(sampler, PROMPTS[part], SEEDS[part]) for part in (slice(middle), slice(middle, None))]
    wait_until(
        lambda: all(count > before[name] for name, count in sampler.drawn_by.items()),
        lambda: f"drawn: {sampler.drawn_by}, before: {before}",
        every_seconds=0.02,
    )
    return shards, before


def _check_each_is_drawn_once(
    shards: list[_Shard], sampler: VllmSampler, before: Mapping[str, int]
) -> list[list[Completion]]:
    for shard in shards:
        shard.join()
        assert shard.error is None
    drawn = [group for shard in shards for group in shard.drawn]
    assert [[one.seed for one in group] for group in drawn] == [[seed] * 2 for seed in SEEDS]
    assert all(one.token_ids for group in drawn for one in group)
    counts = [count - before[name] for name, count in sampler.drawn_by.items()]
    assert sum(counts) == 2 * len(SEEDS)
    # The killed one as well, and not it alone.
    assert all(counts)
    return drawn


def _share_of_equals(first: list[list[Completion]], second: list[list[Completion]]) -> float:
    pairs = [
        (one.token_ids, other.token_ids)
        for group, others in zip(first, second, strict=True)
        for one, other in zip(group, others, strict=True)
    ]
    return sum(one == other for one, other in pairs) / len(pairs)


def test_what_a_killed_replica_had_not_drawn_is_drawn_by_the_other_and_is_what_its_seeds_say(
    python: str, tiny_model: Path
) -> None:
    config = VllmSamplerConfig(device="cpu", eager=True, replicas=2)
    with VllmSampler(config, tiny_model) as sampler:
        first, second = sampler._replicas
        shards, before = _two_shards(sampler)
        os.kill(first.pid, signal.SIGKILL)
        drawn = _check_each_is_drawn_once(shards, sampler, before)
        # One engine, one call, other batches: a rounding may differ, a seed may not.
        again = sampler.sample(PROMPTS, PARAMS, SEEDS)
        assert _share_of_equals(drawn, again) > 0.99
        with pytest.raises(DeviceSetupError, match="prompt 1 is empty"):
            sampler.sample([PROMPTS[0], ""], PARAMS, [1, 2])
        # Another call's bad prompt is not the engine's fault.
        assert sampler.sample(PROMPTS[:1], PARAMS, SEEDS[:1])[0][0].seed == SEEDS[0]
        before = sampler.drawn_by
        last = _Shard(sampler, PROMPTS, SEEDS)
        wait_until(
            lambda: sampler.drawn_by[second.name] > before[second.name],
            lambda: "it draws no more",
            180.0,
            0.02,
        )
        os.kill(second.pid, signal.SIGKILL)
        last.join()
        assert isinstance(last.error, DeviceOutOfMemory)
        assert isinstance(last.error, DeviceCrash)
        assert sampler.is_lost


def test_two_nodes_draw_from_one_queue_and_what_a_killed_one_had_not_drawn_is_drawn_by_the_other(
    two_nodes: list[subprocess.Popen[bytes]], tiny_model: Path
) -> None:
    config = VllmSamplerConfig(device="cpu", eager=True, replicas=2)
    with VllmSampler(config, tiny_model) as sampler:
        shards, before = _two_shards(sampler)
        kill_and_wait(with_descendants(two_nodes[1].pid))
        drawn = _check_each_is_drawn_once(shards, sampler, before)
        before = sampler.drawn_by
        again = sampler.sample(PROMPTS, PARAMS, SEEDS)
        assert _share_of_equals(drawn, again) > 0.99
        assert len([name for name, count in sampler.drawn_by.items() if count > before[name]]) == 1
        with pytest.raises(DeviceSetupError, match="prompt 1 is empty"):
            sampler.sample([PROMPTS[0], ""], PARAMS, [1, 2])
