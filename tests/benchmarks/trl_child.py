"""TRL's side of `bench_grpo`: runs in an environment that has TRL, and takes a step whenever it is told to.

    python trl_child.py SPEC    (SPEC is JSON: model, prompts, threads, steps, and the settings of GrpoConfig)

Each line on standard input asks for one step, each line on standard output tells of one, as a JSON array:
its seconds by the clock, those of processor time, and the mean tokens of its completions.
"""

from __future__ import annotations

import json
import sys
import time
import zlib
from typing import Any


def main() -> None:
    """Train, step by step."""
    spec = json.loads(sys.argv[1])
    reports, sys.stdout = sys.stdout, sys.stderr

    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(spec["threads"])
    grpo = spec["grpo"]
    rollouts = grpo["prompts_per_step"] * grpo["group_size"]
    tokens: list[int] = []

    def reward(completions: list[str], completion_ids: list[list[int]], **_: object) -> list[float]:
        tokens.extend(map(len, completion_ids))
        return [float(zlib.crc32(text.encode()) % 2) for text in completions]

    class Steps(TrainerCallback):
        """Waits for a line before each step, and writes one after it."""

        def on_train_begin(self, *_: object, **__: object) -> None:
            self._wait()

        def on_step_end(self, *_: object, **__: object) -> None:
            wall, processor = self._started
            spent = time.perf_counter() - wall, time.process_time() - processor
            print(json.dumps([*spent, sum(tokens) / rollouts]), file=reports, flush=True)
            tokens.clear()
            self._wait()

        def _wait(self) -> None:
            sys.stdin.readline()
            self._started = time.perf_counter(), time.process_time()

    config = GRPOConfig(
        output_dir=spec["output_dir"],
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        model_init_kwargs={"dtype": "float32"},
        per_device_train_batch_size=grpo["micro_batch_size"],
        gradient_accumulation_steps=rollouts // grpo["micro_batch_size"],
        max_steps=spec["steps"],
        num_generations=grpo["group_size"],
        max_completion_length=grpo["max_tokens"],
        learning_rate=grpo["learning_rate"],
        lr_scheduler_type="constant",
        adam_beta1=grpo["adam_beta1"],
        adam_beta2=grpo["adam_beta2"],
        weight_decay=grpo["weight_decay"],
        max_grad_norm=grpo["gradient_clip"],
        beta=grpo["kl_coefficient"],
        epsilon=grpo["clip_low"],
        epsilon_high=grpo["clip_high"],
        delta=grpo["clip_dual"],
        # The mean over the tokens of the whole batch, as rzero's loss.
        loss_type="dapo",
        shuffle_dataset=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    prompts: list[dict[str, Any]] = [{"prompt": prompt} for prompt in spec["prompts"] * spec["steps"]]
    trainer = GRPOTrainer(
        model=spec["model"],
        reward_funcs=reward,
        args=config,
        train_dataset=Dataset.from_list(prompts),
        callbacks=[Steps()],
    )
    trainer.train()


if __name__ == "__main__":
    main()
