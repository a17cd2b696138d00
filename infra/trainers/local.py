"""GRPO on one device: one policy in memory, for rollouts and updates."""

from __future__ import annotations

import os

# Threads that spin between operations slow everything down where cores are shared; set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from data.backends import LocalTrainerConfig
from data.schemas import METRICS
from infra.samplers.decoding.complete import complete
from infra.samplers.protocol import SamplingParams
from infra.samplers.texts import eos_token_ids, pad_token_id
from infra.store.tables import table_of
from infra.trainers.batches import Sequences
from infra.trainers.checkpoint import TrainingState, read_checkpoint, write_checkpoint
from infra.trainers.device import device_work, training_device
from infra.trainers.folders import copy_model, write_model
from infra.trainers.grpo import group_advantages
from infra.trainers.job import check_job
from infra.trainers.policy import load_policy
from infra.trainers.protocol import Checkpoints, Reward, Rollout, Trainer, TrainingJob, TrainingResult
from infra.trainers.rollouts import (
    joined,
    prompt_indices,
    rollout_seed,
    rollout_table,
    scored,
    step_metrics,
)
from infra.trainers.update import Learner

_ROLLOUT_TOKENS = 65536
"""Most tokens (rows times length) whose keys and values are held at once while rollouts are drawn."""


class LocalTrainer(Trainer):
    """Trains in this process, on one CPU or one GPU (see `infra.trainers.protocol.Trainer`)."""

    def __init__(self, config: LocalTrainerConfig) -> None:
        self._config = config

    def train(
        self,
        job: TrainingJob,
        reward: Reward,
        checkpoints: Checkpoints,
        report: Callable[[int, Mapping[str, float]], None],
    ) -> TrainingResult:
        """Run the job's steps, from the newest checkpoint if there is one.

        A step's checkpoint is saved before the step is reported. ValueError for a job that cannot be
        trained; TrainingError (infra.trainers.errors) where training fails. What the reward function or
        `report` raises comes through.
        """
        check_job(job)
        config = job.config
        if config.steps == 0:
            copy_model(job.model_dir, job.output_dir)
            return TrainingResult(job.output_dir, job.rollouts_schema.empty_table(), METRICS.empty_table(), 0)
        training = _Training(self._config, job)
        first = training.resume(checkpoints)
        for step in range(first + 1, config.steps + 1):
            metrics = training.step(step, reward)
            if step % config.checkpoint_every_steps == 0 and step < config.steps:
                training.save(checkpoints, step)
            report(step, metrics)
        return training.finish(first)


class _Training:
    """A job being trained: its learner, its tokenizer and its tables so far."""

    def __init__(self, config: LocalTrainerConfig, job: TrainingJob) -> None:
        from transformers import AutoTokenizer

        self._config = config
        self._job = job
        self._device = training_device(config.device)
        with self._device_work("start"):
            self._tokenizer: Any = AutoTokenizer.from_pretrained(job.model_dir, local_files_only=True)
            dtype = torch.bfloat16 if config.dtype == "bfloat16" else torch.float32
            self._policy, self._stored_dtype = load_policy(job.model_dir, self._device, dtype)
            self._learner = Learner(self._policy, job.config)
        self._end_tokens = eos_token_ids(self._policy.model, self._tokenizer)
        self._pad = pad_token_id(self._tokenizer, self._end_tokens)
        self._prompt_ids = {prompt: self._tokenize(prompt) for prompt in dict.fromkeys(job.prompts)}
        self._rollouts: list[pa.Table] = []
        self._metrics: list[pa.Table] = []

    def resume(self, checkpoints: Checkpoints) -> int:
        """Restore the newest checkpoint; its step, or 0 if there is none."""
        newest = checkpoints.newest()
        if newest is None:
            return 0
        learner = self._learner
        with self._device_work("resume"):
            state = read_checkpoint(newest[1], self._job, self._policy.parameters, learner.optimizer)
        learner.updates = state.updates
        self._rollouts, self._metrics = [state.rollouts], [state.metrics]
        return state.step

    def step(self, step: int, reward: Reward) -> dict[str, float]:
        """One step: draw, score, compare within groups, update. Its row of metrics."""
        job, config = self._job, self._job.config
        where = f"step {step}"
        with self._device_work(where):
            rollouts = self._draw(step)
        # Outside of device work: the Challenger's reward function samples from a model itself.
        scores = scored(reward, rollouts, job.role, step, job.rollouts_schema)
        rewards = [float(score.reward) for score in scores]
        groups = torch.tensor([rollout.group for rollout in rollouts])
        # In float64 the mean of equal rewards is exact enough for their advantage to vanish.
        values = torch.tensor(rewards, dtype=torch.float64)
        advantages = group_advantages(values, groups, config.divide_by_std).tolist()
        rows = rollout_table(rollouts, scores, advantages, config.group_size, job.role, job.rollouts_schema)
        with self._device_work(where):
            sequences = [Sequences(self._prompt_ids[r.prompt], r.completion.token_ids) for r in rollouts]
            update = self._learner.update(sequences, advantages, self._pad, f"{job.role}, {where}")
        metrics = step_metrics(step, rollouts, rewards, config.group_size, config.learning_rate, update)
        self._rollouts.append(rows)
        self._metrics.append(table_of([metrics], METRICS))
        return metrics

    def save(self, checkpoints: Checkpoints, step: int) -> None:
        """Publish the state after a step."""
        learner = self._learner
        state = TrainingState(step, learner.updates, *self._tables())
        with tempfile.TemporaryDirectory(prefix="rzero-state-") as folder:
            write_checkpoint(Path(folder), self._job, self._policy.parameters, learner.optimizer, state)
            checkpoints.save(step, Path(folder))

    def finish(self, resumed_from_step: int) -> TrainingResult:
        """Write the trained model."""
        write_model(self._policy.model, self._stored_dtype, self._job.model_dir, self._job.output_dir)
        return TrainingResult(self._job.output_dir, *self._tables(), resumed_from_step)

    def _tables(self) -> tuple[pa.Table, pa.Table]:
        return joined(self._rollouts, self._job.rollouts_schema), joined(self._metrics, METRICS)

    def _device_work(self, where: str) -> AbstractContextManager[None]:
        job = self._job
        return device_work(
            self._device, self._config.threads, f"{job.role}, {where}", job.config.micro_batch_size
        )

    def _draw(self, step: int) -> list[Rollout]:
        """The step's rollouts from the present policy, group after group."""
        job, config = self._job, self._job.config
        indices = prompt_indices(len(job.prompts), config.prompts_per_step, step, job.seed)
        seeds = [rollout_seed(job.seed, step, group) for group in range(len(indices))]
        prompts = [job.prompts[index] for index in indices]
        drawn = complete(
            self._policy.for_rollouts(),
            self._tokenizer,
            [self._prompt_ids[prompt] for prompt in prompts],
            SamplingParams.of(config, samples=config.group_size),
            seeds,
            self._end_tokens,
            _ROLLOUT_TOKENS,
        )
        return [
            Rollout(step, group, indices[group], prompts[group], completion)
            for group, samples in enumerate(drawn)
            for completion in samples
        ]

    def _tokenize(self, prompt: str) -> tuple[int, ...]:
        # The template has been applied to the prompt, so nothing is added.
        ids = tuple(self._tokenizer(prompt, add_special_tokens=False)["input_ids"])
        if not ids:
            raise ValueError(f"{self._job.role}: the prompt {prompt!r} has no tokens")
        return ids


open_backend = LocalTrainer
