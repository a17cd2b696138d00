"""RunConfig as verl's configuration: every key of verl that rzero sets, and why. Pure: no verl, no torch.

verl 0.9.1, its trainer "v1" in mode "sync": rollouts and training take turns on the same GPUs.
"""

from __future__ import annotations

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
"""Cores that Ray is told of on a CPU: verl's actors each ask for one, and wait in silence for it."""


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
    config = config.model_copy(update={"micro_batch_size": _micro_batch_size(config, cluster)})
    context = trainer.context_tokens or prompt_tokens + config.max_tokens
    if longest_context is not None:
        context = min(context, longest_context)
    if context <= prompt_tokens:
        raise DeviceSetupError(
            f"trainer.context_tokens: {context} leaves no room "
            f"after the longest prompt ({prompt_tokens} tokens)"
        )
    completion = min(config.max_tokens, context - prompt_tokens)
    return {
        **_algorithm(config),
        **_data(config, seed, paths, prompt_tokens, completion),
        **_model(trainer, paths),
        **_actor(config, trainer, seed, cluster, context),
        **_reference(trainer, cluster, config, context),
        **_rollout(config, trainer, seed, cluster, paths, context),
        **_reward(config, trainer, paths),
        **_trainer(role, config, cluster, paths),
        **_ray(cluster),
        **({} if cluster.has_gpus else _cpu()),
    }


def _micro_batch_size(config: GrpoConfig, cluster: Cluster) -> int:
    """The largest size not above the configured one that divides a worker's rollouts of an update evenly."""
    rollouts = config.prompts_per_step // config.updates_per_step * config.group_size // cluster.workers
    return max(size for size in range(1, config.micro_batch_size + 1) if rollouts % size == 0)


def _algorithm(config: GrpoConfig) -> dict[str, Any]:
    return {
        "algorithm.adv_estimator": "grpo",
        "algorithm.norm_adv_by_std_in_grpo": config.divide_by_std,
        # The KL is a term of the loss (paper's code), not of the reward.
        "algorithm.use_kl_in_reward": False,
    }


def _data(
    config: GrpoConfig, seed: int, paths: Paths, prompt_tokens: int, completion_tokens: int
) -> dict[str, Any]:
    return {
        # The file has the prompts of every step in the order in which they are to be taken.
        "data.train_files": str(paths.data),
        "data.val_files": str(paths.data),
        "data.shuffle": False,
        "data.seed": seed % _SEEDS,
        "data.train_batch_size": config.prompts_per_step,
        "data.max_prompt_length": prompt_tokens,
        "data.max_response_length": completion_tokens,
        "data.filter_overlong_prompts": False,
        "data.dataloader_num_workers": 0,
        "data.return_raw_chat": True,
    }


def _model(trainer: VerlTrainerConfig, paths: Paths) -> dict[str, Any]:
    return {
        "actor_rollout_ref.model.path": str(paths.model),
        "actor_rollout_ref.model.trust_remote_code": False,
        "actor_rollout_ref.model.enable_gradient_checkpointing": True,
        "actor_rollout_ref.model.use_remove_padding": True,
        "actor_rollout_ref.model.lora_rank": trainer.lora_rank,
        "actor_rollout_ref.model.lora_alpha": trainer.lora_alpha,
        "actor_rollout_ref.model.target_modules": "all-linear",
        # Engines are sent the base with the adapters folded in: they draw faster so.
        "actor_rollout_ref.model.lora.merge": trainer.lora_rank > 0,
    }


def _actor(
    config: GrpoConfig, trainer: VerlTrainerConfig, seed: int, cluster: Cluster, context: int
) -> dict[str, Any]:
    offload = _offload(trainer, cluster)
    actor = {
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
        # Packed by tokens on a GPU: so many as `micro_batch_size` rollouts of full length have.
        "use_dynamic_bsz": True,
        "ppo_max_token_len_per_gpu": config.micro_batch_size * context,
        "ppo_epochs": 1,
        "data_loader_seed": seed % _SEEDS,
        "clip_ratio": config.clip_low,
        "clip_ratio_low": config.clip_low,
        "clip_ratio_high": config.clip_high,
        "clip_ratio_c": config.clip_dual,
        "loss_agg_mode": "token-mean",
        "entropy_coeff": 0,
        "calculate_entropy": True,
        "entropy_from_logits_with_chunking": cluster.has_gpus,
        "use_kl_loss": config.kl_coefficient > 0,
        "kl_loss_coef": config.kl_coefficient,
        "kl_loss_type": "low_var_kl",
        "fsdp_config.model_dtype": "fp32",
        "fsdp_config.dtype": trainer.dtype,
        **_precision(trainer),
        "fsdp_config.param_offload": offload,
        "fsdp_config.optimizer_offload": offload,
        "fsdp_config.seed": seed % _SEEDS,
        "checkpoint.save_contents": ["model", "optimizer", "extra"],
    }
    return _under("actor_rollout_ref.actor", actor)


def _reference(
    trainer: VerlTrainerConfig, cluster: Cluster, config: GrpoConfig, context: int
) -> dict[str, Any]:
    reference = {
        "strategy": "fsdp2",
        "log_prob_micro_batch_size_per_gpu": config.micro_batch_size,
        "log_prob_use_dynamic_bsz": True,
        "log_prob_max_token_len_per_gpu": config.micro_batch_size * context,
        "fsdp_config.dtype": trainer.dtype,
        **_precision(trainer),
        "fsdp_config.param_offload": _offload(trainer, cluster),
    }
    return _under("actor_rollout_ref.ref", reference)


def _rollout(
    config: GrpoConfig, trainer: VerlTrainerConfig, seed: int, cluster: Cluster, paths: Paths, context: int
) -> dict[str, Any]:
    workers = cluster.workers
    if workers % trainer.tensor_parallel:
        raise DeviceSetupError(
            f"trainer.tensor_parallel: {trainer.tensor_parallel} does not divide the {workers} GPUs"
        )
    rollout = {
        "name": "vllm",
        "mode": "async",
        "n": config.group_size,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "top_k": config.top_k or -1,
        "seed": seed % _SEEDS,
        "dtype": trainer.dtype,
        "tensor_model_parallel_size": trainer.tensor_parallel,
        "gpu_memory_utilization": trainer.gpu_memory_share,
        "enforce_eager": trainer.eager,
        "max_model_len": context,
        "enable_prefix_caching": True,
        "calculate_log_probs": True,
        "log_prob_micro_batch_size_per_gpu": config.micro_batch_size,
        "log_prob_use_dynamic_bsz": True,
        "log_prob_max_token_len_per_gpu": config.micro_batch_size * context,
        # The first weights come from the trainer, as all others do.
        "load_format": "dummy",
        "agent.default_agent_loop": AGENT_LOOP,
        "agent.agent_loop_config_path": str(paths.agent_loops),
        "agent.num_workers": 1 if not cluster.has_gpus else 8,
    }
    return {f"actor_rollout_ref.rollout.{key}": value for key, value in rollout.items()}


def _reward(config: GrpoConfig, trainer: VerlTrainerConfig, paths: Paths) -> dict[str, Any]:
    return {
        # One worker, so that all samples of a batch meet.
        "reward.num_workers": 1,
        "reward.reward_manager.source": "importlib",
        "reward.reward_manager.name": "BatchRewardManager",
        "reward.reward_manager.module.path": "pkg://infra.trainers.verl.reward_manager",
        "+rzero.address_file": str(paths.address),
        "+rzero.timeout_seconds": trainer.reward_timeout_seconds,
    }


def _trainer(role: str, config: GrpoConfig, cluster: Cluster, paths: Paths) -> dict[str, Any]:
    trainer = {
        "project_name": "rzero",
        "experiment_name": role,
        "logger": ["file"],
        "nnodes": cluster.nodes,
        "n_gpus_per_node": cluster.workers_per_node,
        "total_epochs": 1,
        "total_training_steps": config.steps,
        # The last step is always saved: the model is made from it.
        "save_freq": config.checkpoint_every_steps,
        "test_freq": -1,
        "val_before_train": False,
        "resume_mode": "auto",
        "max_actor_ckpt_to_keep": 2,
        "default_local_dir": str(paths.checkpoints),
        "v1.sampler.custom_sampler.path": "pkg://infra.trainers.verl.replay",
        "v1.sampler.custom_sampler.name": "PromptReplayBuffer",
    }
    return {f"trainer.{key}": value for key, value in trainer.items()}


def _ray(cluster: Cluster) -> dict[str, Any]:
    if cluster.address is not None:
        # What it has was said when it was started.
        return {"+ray_kwargs.ray_init.address": cluster.address}
    local = {
        # "local": whatever cluster this machine may be part of, it is not to be disturbed.
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


def _precision(trainer: VerlTrainerConfig) -> dict[str, Any]:
    """FSDP's own precision, bf16 unless it is told: `dtype` alone leaves forward and backward in it."""
    return {
        "+fsdp_config.mixed_precision": {
            "param_dtype": "fp32" if trainer.dtype == "float32" else "bf16",
            "reduce_dtype": "fp32",
            "buffer_dtype": "fp32",
        }
    }


def _under(section: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The keys with their section before them; a leading "+" stays in front."""
    return {
        ("+" if key.startswith("+") else "") + f"{section}.{key.removeprefix('+')}": value
        for key, value in settings.items()
    }


def _offload(trainer: VerlTrainerConfig, cluster: Cluster) -> bool:
    """Whether weights and moments wait in the host's memory; on a CPU they are there anyway."""
    if not cluster.has_gpus:
        return False
    if trainer.offload is not None:
        return trainer.offload
    return cluster.workers < _OFFLOAD_BELOW_GPUS
