"""The prompts of a step, the checks of its rewards, and its rows in the tables. No torch.

Everything drawn is a function of the job's seed and the step, so a resumed training needs no state of a
random number generator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import pyarrow as pa

from data.schemas import METRICS
from data.seeds import derive_seed
from infra.store.tables import table_of
from infra.trainers.errors import RewardError
from infra.trainers.protocol import Reward, Rollout, ScoredRollout, TrainingJob


@lru_cache(maxsize=4)
def _epoch_order(count: int, seed: int, epoch: int) -> tuple[int, ...]:
    # Sorted by hash: the same on every platform and in every version of every library.
    return tuple(sorted(range(count), key=lambda index: derive_seed(seed, "epoch", epoch, index)))


def prompt_indices(count: int, per_step: int, step: int, seed: int) -> list[int]:
    """The `per_step` indices below `count` that step `step` (from 1) takes.

    The steps walk through a seeded shuffle, epoch after epoch, each epoch shuffled anew; a list shorter
    than a step is repeated within it. ValueError where there are no prompts.
    """
    if count < 1:
        raise ValueError("a training needs at least one prompt")
    first = (step - 1) * per_step
    return [
        _epoch_order(count, seed, position // count)[position % count]
        for position in range(first, first + per_step)
    ]


def rollout_seed(seed: int, step: int, group: int) -> int:
    """The seed that all rollouts of a group are drawn with."""
    return derive_seed(seed, "rollout", step, group)


def scored(job: TrainingJob, reward: Reward, rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
    """The rewards of a step's rollouts; RewardError unless each has a finite one with known parts."""
    where = f"{job.role}, step {rollouts[0].step}"
    # The reward function fills the columns that may be null, the trainer the others.
    known = {field.name for field in job.rollouts_schema if field.nullable}
    results = list(reward(rollouts))
    if len(results) != len(rollouts):
        raise RewardError(f"{where}: the reward function scored {len(results)} of {len(rollouts)} rollouts")
    for number, result in enumerate(results):
        if not math.isfinite(result.reward):
            raise RewardError(f"{where}: the reward of rollout {number} is {result.reward}, not finite")
        if unknown := ", ".join(sorted(set(result.parts) - known)):
            raise RewardError(
                f"{where}: unknown reward parts: {unknown}; known are {', '.join(sorted(known))}"
            )
    return results


def rollout_table(
    job: TrainingJob,
    rollouts: Sequence[Rollout],
    scores: Sequence[ScoredRollout],
    advantages: Sequence[float],
) -> pa.Table:
    """The rows of one step for the `rollouts` table; RewardError where a part has the wrong type."""
    rows = [
        {
            "step": rollout.step,
            "group": rollout.group,
            "sample": number % job.config.group_size,
            "prompt_index": rollout.prompt_index,
            "prompt": rollout.prompt,
            **rollout.completion.columns(),
            "reward": float(score.reward),
            "advantage": float(advantage),
            **score.parts,
        }
        for number, (rollout, score, advantage) in enumerate(zip(rollouts, scores, advantages, strict=True))
    ]
    try:
        return table_of(rows, job.rollouts_schema)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise RewardError(f"{job.role}: a reward part does not fit its column: {error}") from error


def step_metrics(
    job: TrainingJob, rollouts: Sequence[Rollout], rewards: Sequence[float], update: Mapping[str, float]
) -> dict[str, float]:
    """A step's row of the `metrics` table; `update` has what the optimiser saw."""
    count, group_size = len(rewards), job.config.group_size
    mean = math.fsum(rewards) / count
    groups = [rewards[first : first + group_size] for first in range(0, count, group_size)]
    row = {
        "step": rollouts[0].step,
        "reward_mean": mean,
        "reward_std": math.sqrt(math.fsum((value - mean) ** 2 for value in rewards) / count),
        "groups_without_signal": sum(min(group) == max(group) for group in groups) / len(groups),
        "completion_tokens_mean": sum(len(rollout.completion.token_ids) for rollout in rollouts) / count,
        "truncated_share": sum(rollout.completion.finish_reason == "length" for rollout in rollouts) / count,
        "learning_rate": job.config.learning_rate,
        **update,
    }
    return {name: row[name] for name in METRICS.names}


def joined(pieces: Sequence[pa.Table], schema: pa.Schema) -> pa.Table:
    """One table of one chunk and exactly this schema, whether its pieces are new or read from files."""
    plain = [pa.Table.from_arrays(piece.columns, schema=schema) for piece in pieces]
    return pa.concat_tables(plain or [schema.empty_table()]).combine_chunks()
