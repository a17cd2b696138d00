"""What a verl training has done so far: its rollouts, its metrics, and the checkpoints that hold both."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from data.schemas import ENGINE_METRICS, METRICS, SCHEMAS
from infra.samplers.protocol import Completion
from infra.store.tables import table_of
from infra.trainers.errors import NonFiniteError, TrainingError
from infra.trainers.job import fingerprint
from infra.trainers.protocol import Checkpoints, Reward, Rollout, TrainingJob
from infra.trainers.rollouts import joined, rollout_seed, rollout_table, scored, step_metrics
from infra.trainers.verl.state import pack, unpack

_STD_EPSILON = 1e-6
_COLUMNS = {
    "policy_loss": "actor/pg_loss",
    "kl": "actor/kl_loss",
    "entropy": "actor/entropy",
    "clip_share": "actor/pg_clipfrac",
    "gradient_norm": "actor/grad_norm",
}
"""Columns of our `metrics` table and verl's names for them."""


class Record:
    """One job's tables while it is trained."""

    def __init__(self, job: TrainingJob, workers: int) -> None:
        self._job = job
        self._workers = workers
        self._tables: dict[str, dict[int, pa.Table]] = {"rollouts": {}, "metrics": {}, "engine_metrics": {}}
        self._scored: dict[int, tuple[list[Rollout], list[float]]] = {}
        self._read_bytes = 0
        self._last_step = 0

    def resume(self, checkpoints: Checkpoints, folder: Path) -> int:
        """Restore the newest checkpoint, with verl's part in `folder`; its step, or 0 if there is none."""
        newest = checkpoints.newest()
        if newest is None:
            return 0
        step, tables = unpack(newest[1], folder, fingerprint(self._job), self._workers)
        for name in self._tables:
            self._tables[name][0] = tables[name]
        self._last_step = step
        return step

    def score(self, samples: Sequence[Mapping[str, Any]], reward: Reward) -> list[float]:
        """The rewards of a step's rollouts, in the order of `samples`."""
        order = sorted(range(len(samples)), key=lambda n: (samples[n]["group"], samples[n]["sample"]))
        rollouts = [self._rollout(samples[number]) for number in order]
        config = self._job.config
        step = rollouts[0].step
        if len(rollouts) != config.prompts_per_step * config.group_size:
            raise TrainingError(f"{self._job.role}, step {step}: verl drew {len(rollouts)} rollouts")
        scores = scored(reward, rollouts, self._job.role, step, self._job.rollouts_schema)
        rewards = [float(score.reward) for score in scores]
        advantages = advantages_within_groups(rewards, config.group_size, config.divide_by_std)
        self._tables["rollouts"][step] = rollout_table(
            rollouts, scores, advantages, config.group_size, self._job.role, self._job.rollouts_schema
        )
        self._scored[step] = (rollouts, rewards)
        answer = [0.0] * len(samples)
        for number, value in zip(order, rewards, strict=True):
            answer[number] = value
        return answer

    def _rollout(self, sample: Mapping[str, Any]) -> Rollout:
        job, step, group = self._job, sample["step"], sample["group"]
        return Rollout(
            step=step,
            group=group,
            prompt_index=sample["prompt_index"],
            prompt=job.prompts[sample["prompt_index"]],
            completion=Completion(
                text=sample["text"],
                token_ids=tuple(sample["token_ids"]),
                finish_reason=sample["finish_reason"],
                seed=rollout_seed(job.seed, step, group),
                prompt_tokens=sample["prompt_tokens"],
            ),
        )

    def read_metrics(self, file: Path) -> Iterator[tuple[int, dict[str, float]]]:
        """The steps that verl has reported since the last call, each with its row of `metrics`."""
        if not file.exists():
            return
        with file.open("rb") as stream:
            stream.seek(self._read_bytes)
            content = stream.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for line in whole.splitlines():
            reported = json.loads(line)
            yield int(reported["step"]), self._take(int(reported["step"]), reported["data"])

    def _take(self, step: int, reported: Mapping[str, Any]) -> dict[str, float]:
        job, where = self._job, f"{self._job.role}, step {step}"
        if missing := [
            name for name in _COLUMNS.values() if name not in reported and name != "actor/kl_loss"
        ]:
            raise TrainingError(f"{where}: verl reported no {', '.join(missing)}")
        # Without a KL term verl reports none.
        update = {column: float(reported.get(name, 0.0)) for column, name in _COLUMNS.items()}
        if not all(math.isfinite(value) for value in update.values()):
            raise NonFiniteError(
                f"{where}: the loss or the gradient is not finite; try a smaller learning_rate"
            )
        rollouts, rewards = self._scored.pop(step)
        row = step_metrics(step, rollouts, rewards, job.config.group_size, job.config.learning_rate, update)
        self._tables["metrics"][step] = table_of([row], METRICS)
        others = [
            {"step": step, "name": name, "value": float(value)}
            for name, value in sorted(reported.items())
            if isinstance(value, int | float) and name not in _COLUMNS.values()
        ]
        self._tables["engine_metrics"][step] = table_of(others, ENGINE_METRICS)
        self._last_step = step
        return row

    def save(self, checkpoints: Checkpoints, folder: Path, step: int) -> None:
        """Publish verl's checkpoint of a step, if it made one and the training goes on."""
        config = self._job.config
        if step % config.checkpoint_every_steps or step == config.steps:
            return
        schemas = SCHEMAS | {"rollouts": self._job.rollouts_schema}
        tables = {name: self.table(schemas[name]) for name in self._tables}
        with tempfile.TemporaryDirectory(prefix=".packed-", dir=folder) as packed:
            pack(folder, step, Path(packed), fingerprint(self._job), self._workers, tables)
            checkpoints.save(step, Path(packed))

    def check_complete(self) -> None:
        """TrainingError unless the last step has been reported."""
        if self._last_step != self._job.config.steps:
            raise TrainingError(
                f"{self._job.role}: verl ended after step {self._last_step} of {self._job.config.steps}"
            )

    def table(self, schema: pa.Schema) -> pa.Table:
        """All rows so far of the table with this schema."""
        steps = self._tables[schema.metadata[b"table"].decode()]
        return joined([steps[step] for step in sorted(steps)], schema)


def advantages_within_groups(rewards: Sequence[float], group_size: int, divide_by_std: bool) -> list[float]:
    """What verl computes, for the table, without torch: (r - mean) / (sample std + epsilon) in each group."""
    advantages: list[float] = []
    for first in range(0, len(rewards), group_size):
        group = rewards[first : first + group_size]
        mean = math.fsum(group) / len(group)
        spread = math.sqrt(math.fsum((value - mean) ** 2 for value in group) / (len(group) - 1))
        scale = spread + _STD_EPSILON if divide_by_std else 1.0
        advantages += [(value - mean) / scale for value in group]
    return advantages
