"""GRPO, or another policy gradient, on one device: one policy in memory, for rollouts and updates."""

from __future__ import annotations

import os

# Threads that spin between operations slow everything down where cores are shared; set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import torch
from safetensors import SafetensorError

from data.backends import TrainerBase
from data.schemas import METRICS
from infra.machine.memory import OutOfMemory, is_out_of_memory
from infra.samplers.decoding.loop import Room, complete
from infra.samplers.decoding.vocabulary import hidden_tokens
from infra.samplers.protocol import SamplingParams, VocabularyDropout
from infra.samplers.texts import eos_token_ids, pad_token_id
from infra.scratch import ScratchFolder
from infra.store.tables import table_of
from infra.trainers.checkpoint import read_state, readable, write_state
from infra.trainers.folders import copy_model, write_model
from infra.trainers.grpo import group_advantages
from infra.trainers.policy import load_policy
from infra.trainers.protocol import Checkpoints, Report, Reward, Rollout, Trainer, TrainingJob, TrainingResult
from infra.trainers.rollouts import joined, prompt_indices, rollout_seed, rollout_table, scored, step_metrics
from infra.trainers.sequences import Sequences
from infra.trainers.update import Learner

_deterministic: Any = torch.utils.deterministic
_ROLLOUT_TOKENS = 65536
"""Most tokens (rows times length) whose keys and values are held at once while rollouts are drawn."""

Advantages = Callable[[torch.Tensor, torch.Tensor, bool], torch.Tensor]
"""Rewards, groups and `divide_by_std` in; the advantage of each rollout out, as `group_advantages` does."""


class LocalTrainer(Trainer):
    """Trains in this process, on one CPU or one GPU (see `infra.trainers.protocol.Trainer`).

    `advantages` weighs the rollouts of a step; those of GRPO unless another trainer brings its own.
    """

    def __init__(self, config: TrainerBase, advantages: Advantages = group_advantages) -> None:
        self._config = config
        self._advantages = advantages

    def train(
        self, job: TrainingJob, reward: Reward, checkpoints: Checkpoints, report: Report
    ) -> TrainingResult:
        config = job.config
        if config.steps == 0:
            copy_model(job.model_dir, job.output_dir)
            return TrainingResult(job.output_dir, job.rollouts_schema.empty_table(), METRICS.empty_table(), 0)
        job.check()
        training = _Training(self._config, job, self._advantages)
        first = training.resume(checkpoints)
        for step in range(first + 1, config.steps + 1):
            metrics = training.step(step, reward)
            if step % config.checkpoint_every_steps == 0 and step < config.steps:
                training.save(checkpoints, step)
            report(step, metrics)
        return training.finish(first)


class _Training:
    """A job being trained: its learner, its tokenizer and its tables so far."""

    def __init__(self, config: TrainerBase, job: TrainingJob, advantages: Advantages) -> None:
        from transformers import AutoTokenizer

        self._threads, self._advantages = config.threads, advantages
        self._job = job
        there = "cuda" if torch.cuda.is_available() else "cpu"
        self._device = torch.device(there if config.device == "auto" else config.device)
        with self._device_work("start"):
            self._tokenizer: Any = AutoTokenizer.from_pretrained(job.model_dir, local_files_only=True)
            dtype = torch.bfloat16 if config.dtype == "bfloat16" else torch.float32
            self._policy, self._stored_dtype = load_policy(job.model_dir, self._device, dtype)
            self._learner = Learner(self._policy, job.config)
        self._end_tokens = eos_token_ids(self._policy.model, self._tokenizer)
        self._room = Room(_ROLLOUT_TOKENS)
        self._pad = pad_token_id(self._tokenizer, self._end_tokens)
        self._prompt_ids = {prompt: self._tokenize(prompt) for prompt in dict.fromkeys(job.prompts)}
        self._tables: dict[str, list[pa.Table]] = {"rollouts": [], "metrics": []}

    def resume(self, checkpoints: Checkpoints) -> int:
        """Restore the newest checkpoint; its step, or 0 if there is none."""
        newest = checkpoints.newest()
        if newest is None:
            return 0
        _, folder = newest
        with self._device_work("resume"), readable(folder, SafetensorError):
            state, tables = read_state(folder, self._job, self._schemas())
            self._learner.load(folder, state.updates)
        self._tables = {name: [table] for name, table in tables.items()}
        return state.step

    def step(self, step: int, reward: Reward) -> dict[str, float]:
        """One step: draw, score, compare within groups, update. Its row of metrics."""
        job, config = self._job, self._job.config
        where = f"step {step}"
        with self._device_work(where):
            rollouts = self._draw(step)
        # Outside of device work: the Challenger's reward function samples from a model itself.
        scores = scored(job, reward, rollouts)
        rewards = [float(score.reward) for score in scores]
        groups = torch.tensor([rollout.group for rollout in rollouts])
        # In float64 the mean of equal rewards is exact enough for their advantage to vanish.
        values = torch.tensor(rewards, dtype=torch.float64)
        advantages = job.emphasis.weighed(
            self._advantages(values, groups, config.divide_by_std).tolist(),
            [rollout.prompt_index for rollout in rollouts],
        )
        rows = rollout_table(job, rollouts, scores, advantages)
        with self._device_work(where):
            update = self._update(rollouts, rewards, advantages, f"{job.role}, {where}")
        metrics = step_metrics(job, rollouts, rewards, update)
        self._tables["rollouts"].append(rows)
        self._tables["metrics"].append(table_of([metrics], METRICS))
        return metrics

    def _update(
        self, rollouts: Sequence[Rollout], rewards: Sequence[float], advantages: Sequence[float], where: str
    ) -> dict[str, float]:
        """Learn from the step's rollouts, as the job's emphasis says. Their columns of the metrics."""
        emphasis = self._job.emphasis
        sequences = [
            Sequences(
                self._prompt_ids[rollout.prompt],
                rollout.completion.token_ids,
                emphasis.clip_high(rollout.prompt_index),
            )
            for rollout in rollouts
        ]
        dropout = self._dropout(rollouts[0].step)
        hidden = hidden_tokens(dropout, self._policy.model, self._tokenizer, self._end_tokens)
        chosen = emphasis.trained(rewards, self._job.config.group_size)
        if not chosen:
            return self._learner.watch(sequences, self._pad, hidden)
        return self._learner.update(
            [sequences[number] for number in chosen],
            [advantages[number] for number in chosen],
            self._pad,
            where,
            hidden,
        )

    def save(self, checkpoints: Checkpoints, step: int) -> None:
        """Publish the state after a step."""
        with ScratchFolder("state") as folder:
            self._learner.save(folder)
            write_state(folder, self._job, step, self._rows(), updates=self._learner.updates)
            checkpoints.save(step, folder)

    def finish(self, resumed_from_step: int) -> TrainingResult:
        """Write the trained model."""
        write_model(self._policy.model, self._stored_dtype, self._job.model_dir, self._job.output_dir)
        return TrainingResult(self._job.output_dir, resumed_from_step=resumed_from_step, **self._rows())

    def _rows(self) -> dict[str, pa.Table]:
        schemas = self._schemas()
        return {name: joined(pieces, schemas[name]) for name, pieces in self._tables.items()}

    def _schemas(self) -> dict[str, pa.Schema]:
        return {"rollouts": self._job.rollouts_schema, "metrics": METRICS}

    @contextlib.contextmanager
    def _device_work(self, where: str) -> Iterator[None]:
        """Use the configured threads within, and the process's own outside, as the reward function does.

        On a CPU only deterministic operations are allowed. Raises OutOfMemory, which says `where` it happened
        and what to try.
        """
        before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
        fill = _deterministic.fill_uninitialized_memory
        torch.set_num_threads(self._threads)
        if self._device.type == "cpu":
            torch.use_deterministic_algorithms(True)
            # Filling fresh tensors guards against reading them before they are set; here it only costs time.
            _deterministic.fill_uninitialized_memory = False
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(
                f"{self._job.role}, {where}: out of memory on {self._device} ({str(error).splitlines()[0]}); "
                f"try a micro_batch_size below {self._job.config.micro_batch_size}, a smaller max_tokens, "
                "or dtype bfloat16"
            ) from error
        finally:
            torch.set_num_threads(before[0])
            torch.use_deterministic_algorithms(before[1])
            _deterministic.fill_uninitialized_memory = fill

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
            SamplingParams.of(config, samples=config.group_size, dropout=self._dropout(step)),
            seeds,
            self._end_tokens,
            self._room,
        )
        return [
            Rollout(step, group, indices[group], prompts[group], completion)
            for group, samples in enumerate(drawn)
            for completion in samples
        ]

    def _dropout(self, step: int) -> VocabularyDropout | None:
        """What the rollouts of a step go without."""
        return self._job.dropout.at("step", step) if self._job.dropout else None

    def _tokenize(self, prompt: str) -> tuple[int, ...]:
        # The template has been applied to the prompt, so nothing is added.
        ids = tuple(self._tokenizer(prompt, add_special_tokens=False)["input_ids"])
        if not ids:
            raise ValueError(f"{self._job.role}: the prompt {prompt!r} has no tokens")
        return ids


open_backend = LocalTrainer
