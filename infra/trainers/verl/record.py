"""What a verl training has done so far: its rollouts, its metrics, and the checkpoints that hold both.

A checkpoint in the store is a flat set of files: the tables and state.json (infra/trainers/checkpoint.py),
and the files of verl's `global_step_<n>` folder as verl-00000 …, with their paths in state.json.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data.schemas import ENGINE_METRICS, METRICS
from infra.artifacts.names import plain_name
from infra.samplers.protocol import Completion
from infra.store.tables import table_of
from infra.trainers.checkpoint import read_state, readable, write_state
from infra.trainers.errors import CheckpointError, NonFiniteError, TrainingError
from infra.trainers.protocol import Checkpoints, Reward, Rollout, TrainingJob
from infra.trainers.rollouts import joined, rollout_seed, rollout_table, scored, step_metrics
from infra.trainers.saving import Saving
from infra.trainers.verl.cluster import step_folder

_STD_EPSILON = 1e-6
_OPTIMIZER = "optim_"
_NEWEST = "latest_checkpointed_iteration.txt"
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
        """Restore the newest checkpoint, with verl's part in `folder`; its step, or 0 if there is none.

        CheckpointError if it is of another job or number of workers, or cannot be read.
        """
        newest = checkpoints.newest()
        if newest is None:
            return 0
        _, saved = newest
        with readable(saved):
            state, tables = read_state(saved, self._job, self._schemas())
            if state.workers != self._workers:
                raise CheckpointError(
                    f"this training was begun on {state.workers} GPUs and its checkpoint is cut for them; "
                    f"go on with as many, not with {self._workers}, or remove its checkpoints to begin anew"
                )
            step = state.step
            _unpack(saved, state.paths, step_folder(folder, step))
        # verl resumes from the checkpoint that this file names.
        (folder / _NEWEST).write_text(str(step))
        for name, table in tables.items():
            self._tables[name][0] = table
        self._last_step = step
        return step

    def score(self, samples: Sequence[Mapping[str, Any]], reward: Reward) -> list[float]:
        """The rewards of a step's rollouts, in the order of `samples`."""
        order = sorted(range(len(samples)), key=lambda n: (samples[n]["group"], samples[n]["sample"]))
        rollouts = [self._rollout(samples[number]) for number in order]
        job, config, step = self._job, self._job.config, rollouts[0].step
        if len(rollouts) != config.prompts_per_step * config.group_size:
            raise TrainingError(f"{job.role}, step {step}: verl drew {len(rollouts)} rollouts")
        scores = scored(job, reward, rollouts)
        rewards = [float(score.reward) for score in scores]
        advantages = advantages_within_groups(rewards, config.group_size, config.divide_by_std)
        self._tables["rollouts"][step] = rollout_table(job, rollouts, scores, advantages)
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
        where = f"{self._job.role}, step {step}"
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
        row = step_metrics(self._job, rollouts, rewards, update)
        self._tables["metrics"][step] = table_of([row], METRICS)
        others = [
            {"step": step, "name": name, "value": float(value)}
            for name, value in sorted(reported.items())
            if isinstance(value, int | float) and name not in _COLUMNS.values()
        ]
        self._tables["engine_metrics"][step] = table_of(others, ENGINE_METRICS)
        self._last_step = step
        return row

    def save(self, saving: Saving, folder: Path, step: int) -> None:
        """Publish verl's checkpoint of a step, if it made one.

        Of the last one only the weights: all that is left is to merge them.
        """
        config = self._job.config
        is_last = step == config.steps
        if step % config.checkpoint_every_steps and not is_last:
            return
        packed = Path(tempfile.mkdtemp(prefix=".packed-", dir=folder))
        paths = _pack(step_folder(folder, step), packed, without=_OPTIMIZER if is_last else None)
        write_state(packed, self._job, step, self.tables(), workers=self._workers, paths=paths)
        saving.save(step, packed)

    def check_complete(self) -> None:
        """TrainingError unless the last step has been reported."""
        if self._last_step != self._job.config.steps:
            raise TrainingError(
                f"{self._job.role}: verl ended after step {self._last_step} of {self._job.config.steps}"
            )

    def tables(self) -> dict[str, pa.Table]:
        """All rows so far, by the name of their table."""
        schemas = self._schemas()
        return {
            name: joined([steps[step] for step in sorted(steps)], schemas[name])
            for name, steps in self._tables.items()
        }

    def _schemas(self) -> dict[str, pa.Schema]:
        return {
            "rollouts": self._job.rollouts_schema,
            "metrics": METRICS,
            "engine_metrics": ENGINE_METRICS,
        }


def advantages_within_groups(rewards: Sequence[float], group_size: int, divide_by_std: bool) -> list[float]:
    """What verl computes, for the table, without torch: (r - mean) / (sample std + epsilon) in each group."""
    groups = np.reshape(rewards, (-1, group_size))
    advantages = groups - groups.mean(axis=1, keepdims=True)
    if divide_by_std:
        advantages /= groups.std(axis=1, ddof=1, keepdims=True) + _STD_EPSILON
    return [float(value) for value in advantages.flat]


def _pack(source: Path, folder: Path, without: str | None) -> dict[str, str]:
    """Link verl's checkpoint into the flat `folder`; the paths of its files by their names there.

    `without`: how the names begin of files that are left out.
    """
    files = sorted(path for path in source.rglob("*") if path.is_file())
    files = [path for path in files if without is None or not path.name.startswith(without)]
    if not files:
        raise CheckpointError(f"{source}: verl saved no checkpoint of this step")
    paths = {f"verl-{number:05d}": file for number, file in enumerate(files)}
    for name, file in paths.items():
        _link(file, folder / name)
    return {name: file.relative_to(source).as_posix() for name, file in paths.items()}


def _unpack(folder: Path, paths: Mapping[str, str], target: Path) -> None:
    """Undo `_pack`; ValueError for names that lead elsewhere."""
    for name, path in paths.items():
        place = target.joinpath(*map(plain_name, path.split("/")))
        place.parent.mkdir(parents=True, exist_ok=True)
        _link(folder / plain_name(name), place)


def _link(source: Path, target: Path) -> None:
    """Link if possible, else copy: checkpoints are large."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
