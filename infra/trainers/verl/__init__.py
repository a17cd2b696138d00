"""The `verl` trainer: GRPO on Ray, from one CPU to many nodes.

trainer.py        in the stage: starts the training and follows it
record.py         in the stage: scores batches, keeps tables and checkpoints
settings.py       our configuration as verl's configuration: the one place that knows verl's keys
child.py          in the device environment: composes that configuration, trains, merges the model
scoring.py        between the two: an actor in Ray and the job's pipe carry batches and their scores
guard.py          in every process of verl's: no pickles from files
closed.py         in verl's engines: nothing is served over HTTP
agent_loop.py     in Ray's workers: one rollout, from the prompt's text and a seed of its own
reward_manager.py in Ray's workers: waits for the whole batch and has it scored (gather.py)
replay.py         in Ray's workers: waits for the rollouts of a step
shards.py         verl's files of tensors, loaded as such
merge.py          FSDP shards and LoRA adapters back into a Hugging Face directory
cpu/              what verl and vLLM lack to run without an accelerator
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data.backends import VerlTrainerConfig
    from infra.trainers.verl.trainer import VerlTrainer


def open_backend(config: VerlTrainerConfig) -> VerlTrainer:
    """The trainer. Imported here: Ray's workers import this package, too."""
    from infra.trainers.verl.trainer import VerlTrainer

    return VerlTrainer(config)
