"""What trainings write and log."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import polars as pl

from data.config import SolverConfig
from infra.trainers.protocol import TrainingResult
from tasks.publish.progress import report_progress
from tasks.publish.tracking import track_steps
from tasks.stage.truncation import watch_truncation
from tasks.stage.work import Work


def step_reporter(
    work: Work, steps: int, shown: str = "reward {reward_mean:.3f}, kl {kl:.4f}", every: int = 1
) -> Callable[[int, Mapping[str, float]], None]:
    """Moves the progress bar after a step, and logs a line every so many, `shown` filled with its metrics.

    The run's trackers are told of every step.
    """
    track = track_steps(work)

    def report(step: int, metrics: Mapping[str, float]) -> None:
        work.batches_fit()
        if step % every == 0 or step == steps:
            work.log.info(f"{work.stage.name}: step {step}/{steps}, {shown.format_map(metrics)}")
        report_progress(work, step, steps, "steps")
        track(step, metrics)

    return report


def add_training(work: Work, result: TrainingResult, section: str) -> None:
    """The trained model, every rollout and the metrics of each step; `section` configures the training."""
    work.add_model(result.model_dir)
    work.add_table("rollouts", result.rollouts)
    work.add_table("metrics", result.metrics)
    if result.engine_metrics is not None:
        work.add_table("engine_metrics", result.engine_metrics)
    rewards = result.metrics.column("reward_mean").to_pylist()
    if rewards:
        work.figures["reward_first_step"] = round(rewards[0], 6)
        work.figures["reward_last_step"] = round(rewards[-1], 6)
    work.figures["steps"] = len(rewards)
    work.figures["rollouts"] = result.rollouts.num_rows
    configured = getattr(work.config, section)
    if isinstance(configured, SolverConfig) and configured.drop_flat_groups:
        flat = sum(result.metrics.column("groups_without_signal").to_pylist())
        work.figures["groups_dropped"] = round(flat * configured.prompts_per_step)
    reasons = pl.Series(result.rollouts.column("finish_reason"))
    watch_truncation(work, [reasons], section)
