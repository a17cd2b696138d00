"""The Trainer protocol: a job and a reward function in, a model directory with its tables out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from infra.samplers.protocol import Completion, VocabularyDropout
from infra.trainers.emphasis import ALL_ALIKE, Emphasis

if TYPE_CHECKING:
    import pyarrow as pa

    from data.config import GrpoConfig
    from data.schemas import NamedColumn


@dataclass(frozen=True, slots=True)
class Rollout:
    """One completion of one prompt in one step; rollouts with the same `group` share a prompt."""

    step: int
    group: int
    prompt_index: int
    prompt: str
    completion: Completion


@dataclass(frozen=True, slots=True)
class ScoredRollout:
    """The reward of a rollout and its parts: the reward-part columns of the `rollouts` table, by name."""

    reward: float
    parts: Mapping[str, object] = field(default_factory=dict)


Reward = Callable[[Sequence[Rollout]], Sequence[ScoredRollout]]
"""Scores the whole batch of a step, in order, since the repetition penalty compares its rollouts."""


Report = Callable[[int, Mapping[str, float]], None]
"""Called after each step with its number and its row of metrics."""


@dataclass(frozen=True)
class TrainingJob:
    """What to train.

    Step s (from 1) takes the next `config.prompts_per_step` entries of a seeded shuffle of
    `prompts`, epoch after epoch; a shorter list is repeated.
    """

    role: str
    """'challenger' or 'solver', for messages and the rollouts table."""
    model_dir: Path
    """A Hugging Face directory: where the policy starts, and the frozen reference of the KL term."""
    prompts: Sequence[str]
    config: GrpoConfig
    seed: int
    output_dir: Path
    """An empty local folder that gets the trained model."""
    reward_columns: Sequence[NamedColumn] = ()
    """Columns of the table `rollouts` that the reward function fills beside those of the contract."""
    waking_share: float = 0.0
    """Share of each GPU that the reward function takes while it scores, and leaves at other times."""
    emphasis: Emphasis = ALL_ALIKE
    """What of the prompts to dwell on; `local` alone can do that."""
    dropout: VocabularyDropout | None = None
    """What the rollouts go without, other tokens in each step; `local` alone can do that."""

    @property
    def rollouts_schema(self) -> pa.Schema:
        """The schema of the job's table `rollouts`."""
        from data.schemas import schema_of

        return schema_of("rollouts", self.reward_columns)

    @property
    def fingerprint(self) -> str:
        """The sha256 of everything that decides the training, except the model's weights.

        The micro-batch size affects rounding only, so a training that ran out of memory may continue with a
        smaller one.
        """
        config = self.config.key_values()
        del config["micro_batch_size"]
        content = {
            "role": self.role,
            "seed": self.seed,
            "config": config,
            "prompts": hashlib.sha256("\x1e".join(self.prompts).encode()).hexdigest(),
        }
        if self.emphasis != ALL_ALIKE:
            content["emphasis"] = asdict(self.emphasis)
        if self.dropout is not None:
            content["dropout"] = asdict(self.dropout)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def check(self) -> None:
        """ValueError for a job whose steps cannot be trained."""
        config = self.config
        if not self.prompts:
            raise ValueError(f"the {self.role} has no prompts to train on")
        if config.temperature == 0:
            raise ValueError(
                f"{self.role}: temperature 0 cannot train, all rollouts of a group would be equal"
            )
        if config.updates_per_step > config.prompts_per_step:
            raise ValueError(
                f"{self.role}: updates_per_step {config.updates_per_step} is more than the "
                f"prompts_per_step {config.prompts_per_step} that are shared among the updates"
            )


class Checkpoints(Protocol):
    """Where a training keeps its state, so that another process can continue it."""

    def newest(self) -> tuple[int, Path] | None:
        """The newest complete checkpoint, its step and a local folder with its files; None at first."""
        ...

    def save(self, step: int, folder: Path) -> None:
        """Publish the files of `folder` as the checkpoint of `step`, all or nothing."""
        ...


@dataclass(frozen=True)
class TrainingResult:
    """The trained model's folder and the tables `rollouts` and `metrics` (data/schemas.py) of all steps."""

    model_dir: Path
    rollouts: pa.Table
    metrics: pa.Table
    resumed_from_step: int
    engine_metrics: pa.Table | None = None
    """The table `engine_metrics`: whatever else the engine reported of each step."""


class Trainer(Protocol):
    """Trains one job on its device, then frees it."""

    def train(
        self, job: TrainingJob, reward: Reward, checkpoints: Checkpoints, report: Report
    ) -> TrainingResult:
        """Run the job's steps, from the newest checkpoint if there is one.

        A checkpoint is saved every `config.checkpoint_every_steps` steps: by `local` before the step is
        reported, and not after the last; by `verl` while the training goes on. The result has the same bytes
        whether or not the training was interrupted (backend `local` on a CPU, same thread count).

        ValueError, ModelDirectoryError or DeviceSetupError for a job that cannot be trained; TrainingError,
        OutOfMemory or DeviceError where training fails. What the reward function or `report` raises comes
        through.
        """
        ...
