"""Checks of a job, and the fingerprint that tells which job a checkpoint belongs to. No torch."""

from __future__ import annotations

import hashlib
import json

from infra.trainers.protocol import TrainingJob


def check_job(job: TrainingJob) -> None:
    """ValueError for a job that cannot be trained."""
    config = job.config
    if config.steps == 0:
        return
    if not job.prompts:
        raise ValueError(f"the {job.role} has no prompts to train on")
    if config.temperature == 0:
        raise ValueError(f"{job.role}: temperature 0 cannot train, all rollouts of a group would be equal")
    if config.updates_per_step > config.prompts_per_step:
        raise ValueError(
            f"{job.role}: updates_per_step {config.updates_per_step} is more than the "
            f"prompts_per_step {config.prompts_per_step} that are shared among the updates"
        )


def fingerprint(job: TrainingJob) -> str:
    """The sha256 of everything that decides a training, except the model's weights.

    The micro-batch size only affects rounding, so a training that ran out of memory continues with a smaller
    one.
    """
    content = {
        "role": job.role,
        "seed": job.seed,
        "config": job.config.model_dump(mode="json", exclude={"micro_batch_size"}),
        "prompts": hashlib.sha256("\x1e".join(job.prompts).encode()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
