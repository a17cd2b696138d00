"""Our configuration as verl's: every key of verl that rzero sets, and why. Pure: no verl, no torch.

verl 0.9.1, its trainer "v1" in mode "sync": rollouts and training take turns on the same GPUs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.jobs.errors import DeviceSetupError
from infra.trainers.verl.cluster import Cluster, Paths, check_fits

if TYPE_CHECKING:
    from data.backends import VerlTrainerConfig
    from data.config import GrpoConfig

AGENT_LOOP = "rzero"
_SEEDS = 2**31
# Below this many GPUs the weights, gradients and moments of a model with 4B parameters leave no room.
_OFFLOAD_BELOW_GPUS = 4
_CPU_SLOTS = 32
"""Cores that Ray is told of on a CPU: each of verl's actors asks for one, and waits for it in silence."""


def verl_settings(
    role: str,
    config: GrpoConfig,
    trainer: VerlTrainerConfig,
    seed: int,
    cluster: Cluster,
    paths: Paths,
    prompt_tokens: int,
    longest_context: int | None,
) -> dict[str, Any]:
    """verl's dotted keys with their values; "+key" where verl's own configuration has no such key.

    `prompt_tokens` is the longest prompt; `longest_context` what the model was made for, where known.
    """
    check_fits(role, config, cluster)
    context = trainer.context_tokens or prompt_tokens + config.max_tokens
    if longest_context is not None:
        context = min(context, longest_context)
    if context <= prompt_tokens:
        raise DeviceSetupError(
            f"trainer.context_tokens: {context} leaves no room "
            f"after the longest prompt ({prompt_tokens} tokens)"
        )
    config = config.model_copy(update={"micro_batch_size": _micro_batch_size(config, cluster)})
    return _Settings(role, config, trainer, seed % _SEEDS, cluster, paths, prompt_tokens, context).all()


def _micro_batch_size(config: GrpoConfig, cluster: Cluster) -> int:
    """The largest size not above the configured one that divides a worker's rollouts of an update evenly."""
    rollouts = config.prompts_per_step // config.updates_per_step * config.group_size // cluster.workers
    return max(size for size in range(1, config.micro_batch_size + 1) if rollouts % size == 0)


@dataclass(frozen=True)
class _Settings:
    """What the settings depend on; `context` is the longest prompt and completion together."""

    role: str
    config: GrpoConfig
    trainer: VerlTrainerConfig
    seed: int
    cluster: Cluster
    paths: Paths
    prompt_tokens: int
    context: int

    def all(self) -> dict[str, Any]:
        """Every setting."""
        return {
            **_under("algorithm", self._algorithm()),
            **_under("data", self._data()),
            **_under("actor_rollout_ref.model", self._model()),
            **_under("actor_rollout_ref.actor", self._actor()),
            **_under("actor_rollout_ref.ref", self._reference()),
            **_under("actor_rollout_ref.rollout", self._rollout()),
            **_under("reward", self._reward()),
            "+rzero.address_file": str(self.paths.address),
            "+rzero.timeout_seconds": self.trainer.reward_timeout_seconds,
            **_under("trainer", self._trainer()),
            **self._ray(),
            **({} if self.cluster.has_gpus else _cpu()),
        }

    def _algorithm(self) -> dict[str, Any]:
        return {
            "adv_estimator": "grpo",
            "norm_adv_by_std_in_grpo": self.config.divide_by_std,
            # The KL is a term of the loss (paper's code), not of the reward.
            "use_kl_in_reward": False,
        }

    def _data(self) -> dict[str, Any]:
        return {
            # The file has the prompts of every step in the order in which they are to be taken.
            "train_files": str(self.paths.data),
            "val_files": str(self.paths.data),
            "shuffle": False,
            "seed": self.seed,
            "train_batch_size": self.config.prompts_per_step,
            "max_prompt_length": self.prompt_tokens,
            "max_response_length": min(self.config.max_tokens, self.context - self.prompt_tokens),
            "filter_overlong_prompts": False,
            "dataloader_num_workers": 0,
            "return_raw_chat": True,
        }

    def _model(self) -> dict[str, Any]:
        return {
            "path": str(self.paths.model),
            "trust_remote_code": False,
            "enable_gradient_checkpointing": True,
            "use_remove_padding": True,
            "lora_rank": self.trainer.lora_rank,
            "lora_alpha": self.trainer.lora_alpha,
            "target_modules": "all-linear",
            # Engines are sent the base with the adapters folded in: they draw faster so.
            "lora.merge": self.trainer.lora_rank > 0,
        }

    def _actor(self) -> dict[str, Any]:
        config = self.config
        return {
            "strategy": "fsdp2",
            "optim.lr": config.learning_rate,
            "optim.weight_decay": config.weight_decay,
            "optim.betas": [config.adam_beta1, config.adam_beta2],
            "optim.lr_scheduler_type": "constant",
            "optim.lr_warmup_steps": 0,
            "optim.clip_grad": config.gradient_clip,
            "grad_clip": config.gradient_clip,
            # Prompts; verl multiplies it by the group's size.
            "ppo_mini_batch_size": config.prompts_per_step // config.updates_per_step,
            "ppo_micro_batch_size_per_gpu": config.micro_batch_size,
            # Packed by tokens on a GPU: as many as `micro_batch_size` rollouts of full length have.
            "use_dynamic_bsz": True,
            "ppo_max_token_len_per_gpu": config.micro_batch_size * self.context,
            "ppo_epochs": 1,
            "data_loader_seed": self.seed,
            "clip_ratio": config.clip_low,
            "clip_ratio_low": config.clip_low,
            "clip_ratio_high": config.clip_high,
            "clip_ratio_c": config.clip_dual,
            "loss_agg_mode": "token-mean",
            "entropy_coeff": 0,
            "calculate_entropy": True,
            "entropy_from_logits_with_chunking": self.cluster.has_gpus,
            "use_kl_loss": config.kl_coefficient > 0,
            "kl_loss_coef": config.kl_coefficient,
            "kl_loss_type": "low_var_kl",
            "fsdp_config.model_dtype": "fp32",
            **self._precision(),
            "fsdp_config.optimizer_offload": self._offload(),
            "fsdp_config.seed": self.seed,
            "checkpoint.save_contents": ["model", "optimizer", "extra"],
        }

    def _reference(self) -> dict[str, Any]:
        return {"strategy": "fsdp2", **self._log_probs(), **self._precision()}

    def _rollout(self) -> dict[str, Any]:
        config, trainer, workers = self.config, self.trainer, self.cluster.workers
        if workers % trainer.tensor_parallel:
            raise DeviceSetupError(
                f"trainer.tensor_parallel: {trainer.tensor_parallel} does not divide the {workers} GPUs"
            )
        return {
            "name": "vllm",
            "mode": "async",
            "n": config.group_size,
            "temperature": config.temperature,
            "top_p": config.top_p,
            "top_k": config.top_k or -1,
            "seed": self.seed,
            "dtype": trainer.dtype,
            "tensor_model_parallel_size": trainer.tensor_parallel,
            "gpu_memory_utilization": trainer.gpu_memory_share,
            "enforce_eager": trainer.eager,
            "max_model_len": self.context,
            "enable_prefix_caching": True,
            "calculate_log_probs": True,
            **self._log_probs(),
            # The first weights come from the trainer, as all others do.
            "load_format": "dummy",
            "agent.default_agent_loop": AGENT_LOOP,
            "agent.agent_loop_config_path": str(self.paths.agent_loops),
            "agent.num_workers": 8 if self.cluster.has_gpus else 1,
        }

    def _log_probs(self) -> dict[str, Any]:
        return {
            "log_prob_micro_batch_size_per_gpu": self.config.micro_batch_size,
            "log_prob_use_dynamic_bsz": True,
            "log_prob_max_token_len_per_gpu": self.config.micro_batch_size * self.context,
        }

    def _precision(self) -> dict[str, Any]:
        """FSDP's own precision, bf16 unless it is told: `dtype` alone leaves forward and backward in it."""
        return {
            "fsdp_config.dtype": self.trainer.dtype,
            "+fsdp_config.mixed_precision": {
                "param_dtype": "fp32" if self.trainer.dtype == "float32" else "bf16",
                "reduce_dtype": "fp32",
                "buffer_dtype": "fp32",
            },
            "fsdp_config.param_offload": self._offload(),
        }

    def _offload(self) -> bool:
        """Whether weights and moments wait in the host's memory; on a CPU they are there anyway."""
        if not self.cluster.has_gpus:
            return False
        if self.trainer.offload is not None:
            return self.trainer.offload
        return self.cluster.workers < _OFFLOAD_BELOW_GPUS

    def _reward(self) -> dict[str, Any]:
        return {
            # One worker, so that all samples of a batch meet.
            "num_workers": 1,
            "reward_manager.source": "importlib",
            "reward_manager.name": "BatchRewardManager",
            "reward_manager.module.path": "pkg://infra.trainers.verl.reward_manager",
        }

    def _trainer(self) -> dict[str, Any]:
        return {
            "project_name": "rzero",
            "experiment_name": self.role,
            "logger": ["file"],
            "nnodes": self.cluster.nodes,
            "n_gpus_per_node": self.cluster.workers_per_node,
            "total_epochs": 1,
            "total_training_steps": self.config.steps,
            # The last step is always saved: the model is made from it.
            "save_freq": self.config.checkpoint_every_steps,
            "test_freq": -1,
            "val_before_train": False,
            "resume_mode": "auto",
            "max_actor_ckpt_to_keep": 2,
            "default_local_dir": str(self.paths.checkpoints),
            "v1.sampler.custom_sampler.path": "pkg://infra.trainers.verl.replay",
            "v1.sampler.custom_sampler.name": "PromptReplayBuffer",
        }

    def _ray(self) -> dict[str, Any]:
        cluster = self.cluster
        if cluster.address is not None:
            # What it has was said when it was started.
            return {"+ray_kwargs.ray_init.address": cluster.address}
        local = {
            # "local": a cluster that this machine may be part of is left alone.
            "+ray_kwargs.ray_init.address": "local",
            "+ray_kwargs.ray_init.include_dashboard": False,
            "+ray_kwargs.ray_init.num_gpus": cluster.workers_per_node,
        }
        if not cluster.has_gpus:
            local["ray_kwargs.ray_init.num_cpus"] = _CPU_SLOTS
            local["+ray_kwargs.ray_init.object_store_memory"] = 512 * 1024 * 1024
        return local


def _cpu() -> dict[str, Any]:
    """What differs where there is no accelerator: see cpu/platform.py."""
    return {
        "trainer.device": "cpu",
        "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1,
        "actor_rollout_ref.model.use_remove_padding": False,
        "actor_rollout_ref.model.enable_gradient_checkpointing": False,
        "+actor_rollout_ref.model.override_config.attn_implementation": "sdpa",
        "actor_rollout_ref.actor.use_dynamic_bsz": False,
        "actor_rollout_ref.actor.use_torch_compile": False,
        "actor_rollout_ref.actor.fsdp_config.use_torch_compile": False,
        "actor_rollout_ref.ref.log_prob_use_dynamic_bsz": False,
        "actor_rollout_ref.ref.use_torch_compile": False,
        "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz": False,
        "actor_rollout_ref.rollout.enforce_eager": True,
        # vLLM's sleep mode is for GPUs.
        "actor_rollout_ref.rollout.free_cache_engine": False,
        "+actor_rollout_ref.rollout.enable_sleep_mode": False,
        "actor_rollout_ref.rollout.max_num_seqs": 64,
        "+actor_rollout_ref.rollout.engine_kwargs.vllm.worker_extension_cls": (
            "infra.trainers.verl.cpu.worker.CpuWorkerExtension"
        ),
    }


def _under(section: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The keys with their section before them; a leading "+" stays in front."""
    return {
        ("+" if key.startswith("+") else "") + f"{section}.{key.removeprefix('+')}": value
        for key, value in settings.items()
    }
