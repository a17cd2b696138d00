"""The prompts of all steps as the Parquet file that verl reads, in the order in which they are taken."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infra.trainers.protocol import TrainingJob
from infra.trainers.rollouts import prompt_indices, rollout_seed


def write_prompts(job: TrainingJob, path: Path) -> None:
    """One row a group: `extra_info` says its step, its batch's name and size, its seed and its text.

    The text is the prompt as the model reads it. verl demands the column `prompt`, which has it as a message;
    no template is applied to that.
    """
    config = job.config
    rows = []
    for step in range(1, config.steps + 1):
        indices = prompt_indices(len(job.prompts), config.prompts_per_step, step, job.seed)
        for group, index in enumerate(indices):
            rows.append(
                {
                    "prompt": [{"role": "user", "content": job.prompts[index]}],
                    "data_source": "rzero",
                    "reward_model": {"style": "rule", "ground_truth": ""},
                    "extra_info": {
                        "index": index,
                        "step": step,
                        "group": group,
                        "batch": f"step-{step}",
                        "size": len(indices) * config.group_size,
                        "seed": rollout_seed(job.seed, step, group),
                        "text": job.prompts[index],
                    },
                }
            )
    pq.write_table(pa.Table.from_pylist(rows), path)
