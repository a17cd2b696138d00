"""The shards of a stage share a sampler: as many at once as it allows, and a new one after it is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.backends import TransformersSamplerConfig, VllmSamplerConfig
from infra.jobs.errors import DeviceCrash
from infra.samplers import Completion, Sampler, SamplingParams, release_sampler, shared_sampler
from infra.samplers import open as opening

CONFIG = VllmSamplerConfig()
PARAMS = SamplingParams(max_tokens=1)
WAIT_SECONDS = 30.0


class Meets(Sampler):
    """Answers once so many calls are under way together; of a model named 'broken' it fails them."""

    opened: list[Meets]

    def __init__(self, config: object, model_dir: Path) -> None:
        self.calls_at_once = 1 if isinstance(config, TransformersSamplerConfig) else 2
        self.model = model_dir.name
        self.is_free = False
        self.has_failed = False
        self.fails = self.model == "broken" and not self.opened
        self.together = threading.Barrier(self.calls_at_once)
        self.opened.append(self)

    @property
    def is_lost(self) -> bool:
        return super().is_lost or self.has_failed

    def _draw(self, prompts: list[str], params: SamplingParams, seeds: list[int]) -> list[list[Completion]]:
        self.together.wait(WAIT_SECONDS)
        if self.fails:
            self.has_failed = True
            raise DeviceCrash("the engine is gone")
        return [[Completion(self.model, (), "stop", seed, 1)] for seed in seeds]

    def _free(self, at_once: bool) -> None:
        self.is_free = True


@pytest.fixture(autouse=True)
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Meets]]:
    """The samplers that were opened."""
    release_sampler()
    monkeypatch.setattr(Meets, "opened", [], raising=False)
    monkeypatch.setattr(opening, "open_sampler", Meets)
    yield Meets.opened
    release_sampler()


def _shards(count: int, config: object, model: str) -> list[str]:
    """What so many shards, each a thread of its own, get of a sampler."""
    said: list[str] = []

    def shard() -> None:
        try:
            with shared_sampler(config, Path(model)) as sampler:  # type: ignore[arg-type]
                said.append(sampler.sample(["prompt"], PARAMS, [1])[0][0].text)
        except DeviceCrash as error:
            said.append(str(error))

    threads = [threading.Thread(target=shard, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    return said


def test_as_many_shards_as_a_sampler_allows_draw_from_it_at_once(opened: list[Meets]) -> None:
    # Each call waits for another that is under way.
    assert _shards(4, CONFIG, "model") == ["model"] * 4
    assert len(opened) == 1
    release_sampler()
    assert opened[0].is_free


def test_shards_of_a_sampler_that_draws_for_one_wait_for_each_other(opened: list[Meets]) -> None:
    assert _shards(4, TransformersSamplerConfig(), "model") == ["model"] * 4
    assert len(opened) == 1


def test_after_a_sampler_is_lost_the_next_shards_get_a_new_one(opened: list[Meets]) -> None:
    said = _shards(4, CONFIG, "broken")
    assert sorted(said) == ["broken", "broken", "the engine is gone", "the engine is gone"]
    assert [one.is_free for one in opened] == [True, False]


def test_another_model_waits_until_nobody_uses_this_one_and_release_leaves_one_in_use_open(
    opened: list[Meets],
) -> None:
    with shared_sampler(CONFIG, Path("first")):
        release_sampler()
        assert not opened[0].is_free
        other = threading.Thread(target=_shards, args=(2, CONFIG, "second"), daemon=True)
        other.start()
        other.join(0.1)
        assert len(opened) == 1
    other.join(WAIT_SECONDS)
    assert [(one.model, one.is_free) for one in opened] == [("first", True), ("second", False)]
