"""What this machine does with a model, measured: tokens a second, starts, the way to the store.

Each figure comes from the very backend that a run uses, so the same code measures a laptop and a cluster.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from data.section import Section
from infra.samplers import SamplingParams, open_sampler
from infra.samplers.protocol import Sampler
from infra.scratch import ScratchFolder
from infra.store.store import Store
from infra.trainers import open_trainer
from infra.trainers.protocol import Rollout, ScoredRollout, TrainingJob, TrainingResult

if TYPE_CHECKING:
    from data.config import GrpoConfig, RunConfig

Clock = Callable[[], float]

_BATCHES = (1, 8, 64, 512)
_COMPLETION_TOKENS = 256
_LONGEST_BATCH_SECONDS = 30.0
_UPLOAD_MEBIBYTES = 64
_STEPS = 2
_GROUPS = 16
_VERL_UPDATE = ("timing_s/old_log_prob", "timing_s/ref", "timing_s/update_actor")
_VERL_SYNC = "timing_s/update_weights"


class Decoding(Section):
    """So many prompts drawn at once."""

    prompts: int
    tokens_per_second: float


class Measured(Section):
    """What was measured; tokens per second are those of all devices together."""

    decoding: tuple[Decoding, ...]
    engine_start_seconds: float
    train_tokens_per_second: float
    trainer_start_seconds: float
    weight_sync_seconds: float | None = None
    upload_mebibytes_per_second: float


def measure(config: RunConfig, model_dir: Path, prompt: str, store: Store) -> Iterator[tuple[str, float]]:
    """Measure sampler, trainer and store; each figure, by the name of its field, as soon as it is there.

    A field of `decoding` is named `decoding.<prompts>`. What the backends raise comes through.
    """
    begun = time.monotonic()
    with open_sampler(config.sampler, model_dir) as sampler:
        drawn(sampler, prompt, 1, tokens=8)
        yield "engine_start_seconds", time.monotonic() - begun
        tokens = min(_COMPLETION_TOKENS, config.answers.max_tokens)
        for prompts in _BATCHES:
            count, seconds = drawn(sampler, prompt, prompts, tokens)
            yield f"decoding.{prompts}", count / seconds
            if seconds > _LONGEST_BATCH_SECONDS:
                break
    with ScratchFolder("calibration") as folder:
        short = short_training(config.solver)
        job = TrainingJob("solver", model_dir, [prompt], short, 0, folder / "trained")
        watch = Watch()
        result = open_trainer(config.trainer).train(job, watch.reward, _Nowhere(), watch.report)
        yield "trainer_start_seconds", watch.start_seconds()
        yield "train_tokens_per_second", watch.tokens / update_seconds(result, watch)
        if (sync := engine_seconds(result, (_VERL_SYNC,))) is not None:
            yield "weight_sync_seconds", sync
    yield "upload_mebibytes_per_second", uploaded(store)


def gathered(figures: Mapping[str, float]) -> Measured:
    """The figures of `measure` as one record."""
    decoding = [
        {"prompts": int(name.partition(".")[2]), "tokens_per_second": value}
        for name, value in figures.items()
        if name.startswith("decoding.")
    ]
    others = {name: value for name, value in figures.items() if not name.startswith("decoding.")}
    return Measured.model_validate({"decoding": decoding, **others})


def drawn(sampler: Sampler, prompt: str, prompts: int, tokens: int) -> tuple[int, float]:
    """Draw that many completions at once: how many tokens came, in how many seconds."""
    begun = time.monotonic()
    found = sampler.sample([prompt] * prompts, SamplingParams(max_tokens=tokens), list(range(prompts)))
    return sum(len(one.token_ids) for each in found for one in each), time.monotonic() - begun


def short_training(config: GrpoConfig) -> GrpoConfig:
    """A training of two steps that takes minutes on GPUs, with the configured sizes of group and pass."""
    groups = min(config.prompts_per_step, _GROUPS)
    return config.model_copy(
        update={
            "steps": _STEPS,
            "prompts_per_step": groups,
            "updates_per_step": 1,
            "max_tokens": min(config.max_tokens, 2 * _COMPLETION_TOKENS),
            "checkpoint_every_steps": _STEPS,
        }
    )


@dataclass
class Watch:
    """Times a training from outside: when each batch of rollouts comes, and when its step is reported."""

    clock: Clock = time.monotonic
    tokens: int = 0
    """Of prompts and completions of the last step."""
    begun: float = 0.0
    came: list[float] = field(default_factory=list)
    scored: list[float] = field(default_factory=list)
    reported: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.begun = self.clock()

    def reward(self, rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
        """Every other rollout is right, so that there is something to learn."""
        self.came.append(self.clock())
        drawn = [rollout.completion for rollout in rollouts]
        self.tokens = sum(one.prompt_tokens + len(one.token_ids) for one in drawn)
        scores = [ScoredRollout(float(number % 2)) for number in range(len(rollouts))]
        self.scored.append(self.clock())
        return scores

    def report(self, step: int, metrics: Mapping[str, float]) -> None:
        """A step is done."""
        self.reported.append(self.clock())

    def start_seconds(self) -> float:
        """From the beginning to the first rollouts, without the time that drawing them takes."""
        drawing = self.came[1] - self.reported[0]
        return max(0.0, self.came[0] - self.begun - drawing)


def update_seconds(result: TrainingResult, watch: Watch) -> float:
    """Seconds of the last update: from the engine where it says, else from the rewards to the report."""
    told = engine_seconds(result, _VERL_UPDATE)
    return watch.reported[-1] - watch.scored[-1] if told is None else told


def engine_seconds(result: TrainingResult, names: Sequence[str]) -> float | None:
    """The sum of these figures of the last step; None where the engine reports none of them."""
    if result.engine_metrics is None:
        return None
    rows = result.engine_metrics.to_pylist()
    found = [row["value"] for row in rows if row["name"] in names and row["step"] == _STEPS]
    return sum(found) if found else None


def uploaded(store: Store) -> float:
    """MiB a second of one file into the store, which holds nothing of it afterwards."""
    path = f"calibrations/.upload-{os.urandom(6).hex()}"
    with ScratchFolder("upload") as folder:
        file = folder / "file"
        file.write_bytes(os.urandom(_UPLOAD_MEBIBYTES << 20))
        begun = time.monotonic()
        try:
            store.put_file(path, file)
            return _UPLOAD_MEBIBYTES / (time.monotonic() - begun)
        finally:
            store.remove(path)


class _Nowhere:
    """Keeps no checkpoint."""

    def newest(self) -> None:
        return None

    def save(self, step: int, folder: Path) -> None:
        pass
