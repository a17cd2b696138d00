"""The process of a verl training: compose verl's configuration, train on Ray, merge the model.

Runs where verl is installed. The stage has written the prompts, scores the batches that it is handed, and
reads the metrics file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.jobs.channel import Channel
from infra.jobs.errors import DeviceSetupError
from infra.jobs.reap import JOB_VARIABLE, give_back, shared_memory_of
from infra.ray.joined import check_reachable, give_back_on_all_nodes, wait_longer_for_ray
from infra.trainers.verl.cluster import Cluster, Paths, step_folder
from infra.trainers.verl.scoring import Handover
from infra.trainers.verl.settings import AGENT_LOOP, verl_settings

if TYPE_CHECKING:
    from data.backends import VerlTrainerConfig
    from data.config import GrpoConfig


def train(spec: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """Train as `spec` says and leave a Hugging Face directory in its `output`."""
    from data.backends import VerlTrainerConfig
    from data.config import GrpoConfig

    config, trainer = GrpoConfig(**spec["config"]), VerlTrainerConfig(**spec["trainer"])
    paths = Paths(model=Path(spec["model"]), work=Path(spec["work"]))
    check_resumed(paths)
    if not spec["trained"]:
        _run_steps(spec, channel, config, trainer, paths)
    channel.say("trained")
    from infra.trainers.verl.merge import write_merged

    actor = step_folder(paths.checkpoints, config.steps) / "actor"
    scale = trainer.lora_alpha / trainer.lora_rank if trainer.lora_rank else 0.0
    write_merged(actor, paths.model, Path(spec["output"]), scale)
    return {}


def _run_steps(
    spec: Mapping[str, Any], channel: Channel, config: GrpoConfig, trainer: VerlTrainerConfig, paths: Paths
) -> None:
    from infra.models.check import check_model_directory, longest_context

    cluster = Cluster(**spec["cluster"])
    prompt_tokens = longest_prompt(paths)
    longest = longest_context(check_model_directory(paths.model))
    settings = verl_settings(
        spec["role"], config, trainer, spec["seed"], cluster, paths, prompt_tokens, longest
    )
    settings |= spec["ray"]
    if cluster.address is not None:
        check_reachable(cluster.address)
        # Marks the processes that the cluster starts for this job.
        settings["+ray_kwargs.ray_init.runtime_env.env_vars"][JOB_VARIABLE] = os.environ[JOB_VARIABLE]
    paths.agent_loops.write_text(
        f"- name: {AGENT_LOOP}\n  _target_: infra.trainers.verl.agent_loop.PromptAgentLoop\n"
    )
    composed = compose(settings)
    channel.say("composed")
    if not cluster.has_gpus:
        wait_longer_for_ray()
    run(composed, channel, joined=cluster.address is not None)


def check_resumed(paths: Paths) -> None:
    """DeviceSetupError if the checkpoint to go on from holds anything but tensors and numbers."""
    from infra.trainers.errors import CheckpointError
    from infra.trainers.verl.shards import check_shards

    try:
        check_shards(paths.checkpoints)
    except CheckpointError as error:
        raise DeviceSetupError(
            f"the checkpoint of this training was changed or is broken: {error}; "
            "find out who writes to the store, and remove the checkpoint to go on without it"
        ) from None


def longest_prompt(paths: Paths) -> int:
    """Tokens of the longest prompt."""
    import pyarrow.parquet as pq
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(paths.model, local_files_only=True)
    texts = sorted({extra["text"] for extra in pq.read_table(paths.data)["extra_info"].to_pylist()})
    return max(len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"])


def compose(settings: Mapping[str, Any]) -> Any:
    """verl's configuration with these settings; KeyError for a key that verl does not have."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from omegaconf import OmegaConf

    with initialize_config_module("verl.trainer.config", version_base=None):
        config = hydra_compose("ppo_trainer")
    for key, value in settings.items():
        name = key.removeprefix("+")
        if name == key and not _has(config, name):
            raise KeyError(f"verl's configuration has no {name}")
        OmegaConf.update(config, name, value, force_add=name != key)
    return config


def _has(config: Any, dotted: str) -> bool:
    node = config
    for part in dotted.split("."):
        if not hasattr(node, "keys") or part not in node.keys():  # noqa: SIM118  (a DictConfig hides ???)
            return False
        node = node._get_node(part)
        node = node._dereference_node() if node is not None and node._is_interpolation() else node
    return True


def run(config: Any, channel: Channel, joined: bool) -> None:
    """What `python -m verl.trainer.main_ppo` does with a configuration; `joined`: on a cluster of others."""
    import ray
    from verl.trainer.main_ppo import TaskRunnerV1, run_ppo
    from verl.utils.device import auto_set_device

    auto_set_device(config)
    validate(config)
    job_id = os.environ[JOB_VARIABLE]
    runner = _HeldRunner(TaskRunnerV1, channel)
    try:
        run_ppo(config, task_runner_class=runner)
    finally:
        runner.end()
        shared = shared_memory_of(job_id)
        if joined:
            give_back_on_all_nodes(job_id)
        ray.shutdown()
        give_back(shared)


class _HeldRunner:
    """Holds verl's runner, which owns the engines, until they have been asked what they share.

    Ray kills the engines with the last handle to the runner; they then release nothing. Before the runner
    starts, batches can be handed to the stage.
    """

    def __init__(self, actor_class: Any, channel: Channel) -> None:
        self._actor_class = actor_class
        self._channel = channel
        self._handover: Handover | None = None
        self._handle: Any = None

    def end(self) -> None:
        """No batch will come any more."""
        if self._handover is not None:
            self._handover.end()

    def remote(self) -> Any:
        """Called by verl, once Ray is there."""
        self._handover = Handover(self._channel)
        self._handle = self._actor_class.remote()
        return self._handle


def validate(config: Any) -> None:
    """verl's own checks of a configuration."""
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    validate_config(
        config=config,
        use_reference_policy=need_reference_policy(config),
        use_critic=need_critic(config),
    )
