"""Our configuration as verl's: every key of verl that rzero sets, and why. Pure: no verl, no torch.

verl 0.9.1, its trainer "v1" in mode "sync": rollouts and training take turns on the same GPUs.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from infra.jobs.errors import DeviceSetupError
from infra.plan.layout import packed_tokens
from infra.trainers.verl.cluster import KEPT_CHECKPOINTS, Cluster, Paths

if TYPE_CHECKING:
    from data.backends import VerlTrainerConfig
    from data.config import GrpoConfig

AGENT_LOOP = "rzero"
_SEEDS = 2**31
# Where the GPUs' memory is not known: few leave no room for a model's states while rollouts are drawn.
_OFFLOAD_BELOW_GPUS = 4
_SDPA_TOKENS = 8192
"""Longest pass with torch's own attention, which computes all pairs of its tokens."""
_CPU_SLOTS = 32
"""Cores to declare to Ray on a CPU: each of verl's actors asks for one, and waits for it in silence."""
_CPU = {
    "trainer.device": "cpu",
    "transfer_queue.backend.SimpleStorage.num_data_storage_units": 1,
    "actor_rollout_ref.model.use_remove_padding": False,
    "actor_rollout_ref.model.enable_gradient_checkpointing": False,
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
"""What differs where there is no accelerator: see cpu/platform.py."""


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

    `prompt_tokens`: the longest prompt; `longest_context`: the longest the model supports, where known.
    """
    context = trainer.context_tokens or prompt_tokens + config.max_tokens
    if longest_context is not None:
        context = min(context, longest_context)
    if context <= prompt_tokens:
        raise DeviceSetupError(
            f"trainer.context_tokens: {context} leaves no room "
            f"after the longest prompt ({prompt_tokens} tokens)"
        )
    if cluster.workers % trainer.tensor_parallel:
        raise DeviceSetupError(
            f"trainer.tensor_parallel: {trainer.tensor_parallel} does not divide the {cluster.workers} GPUs"
        )
    seed %= _SEEDS
    micro_batch_size = _micro_batch_size(config, cluster)
    # On a CPU weights and moments are in the host's memory anyway.
    few = "between_steps" if cluster.workers < _OFFLOAD_BELOW_GPUS else "never"
    offload = (trainer.offload or few) if cluster.has_gpus else "never"
    attention = _attention(cluster)
    tokens = packed_tokens(config, context)
    if attention == "sdpa":
        tokens = max(context, min(tokens, _SDPA_TOKENS))
    log_probs = {
        "log_prob_micro_batch_size_per_gpu": micro_batch_size,
        "log_prob_use_dynamic_bsz": True,
        "log_prob_max_token_len_per_gpu": tokens,
    }
    precision = {
        "fsdp_config.dtype": trainer.dtype,
        # FSDP's own precision is bf16 unless it is set: `dtype` alone leaves forward and backward in it.
        "+fsdp_config.mixed_precision": {
            "param_dtype": "fp32" if trainer.dtype == "float32" else "bf16",
            "reduce_dtype": "fp32",
            "buffer_dtype": "fp32",
        },
        "fsdp_config.param_offload": offload == "between_steps",
    }
    sections: dict[str, dict[str, Any]] = {
        "algorithm": {
            "adv_estimator": "grpo",
            "norm_adv_by_std_in_grpo": config.divide_by_std,
            # The KL is a term of the loss (paper's code), not of the reward.
            "use_kl_in_reward": False,
        },
        "data": {
            # The file holds the prompts of every step, in order.
            "train_files": str(paths.data),
            "val_files": str(paths.data),
            "shuffle": False,
            "seed": seed,
            "train_batch_size": config.prompts_per_step,
            "max_prompt_length": prompt_tokens,
            "max_response_length": min(config.max_tokens, context - prompt_tokens),
            "filter_overlong_prompts": False,
            "dataloader_num_workers": 0,
            "return_raw_chat": True,
        },
        "actor_rollout_ref.model": {
            "path": str(paths.model),
            "trust_remote_code": False,
            "enable_gradient_checkpointing": True,
            "use_remove_padding": True,
            # Probabilities and entropy piece by piece: whole logits of a packed batch fill a GPU.
            "use_fused_kernels": True,
            "fused_kernel_options.impl_backend": "torch",
            "+override_config.attn_implementation": attention,
            "lora_rank": trainer.lora_rank,
            "lora_alpha": trainer.lora_alpha,
            "target_modules": "all-linear",
            # Engines get the base with the adapters folded in, which draws faster.
            "lora.merge": trainer.lora_rank > 0,
        },
        "actor_rollout_ref.actor": {
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
            "ppo_micro_batch_size_per_gpu": micro_batch_size,
            # Packed by tokens on a GPU.
            "use_dynamic_bsz": True,
            "ppo_max_token_len_per_gpu": tokens,
            "ppo_epochs": 1,
            "data_loader_seed": seed,
            "clip_ratio": config.clip_low,
            "clip_ratio_low": config.clip_low,
            "clip_ratio_high": config.clip_high,
            "clip_ratio_c": config.clip_dual,
            "loss_agg_mode": "token-mean",
            "entropy_coeff": 0,
            # What is reported comes from the pass of the old probabilities; here its graph would be kept.
            "calculate_entropy": False,
            "use_kl_loss": config.kl_coefficient > 0,
            "kl_loss_coef": config.kl_coefficient,
            "kl_loss_type": "low_var_kl",
            "fsdp_config.model_dtype": "fp32",
            **precision,
            "fsdp_config.optimizer_offload": offload == "between_steps",
            # FSDP2's own: parameters, gradients and AdamW stay on the host while it trains, too.
            "fsdp_config.offload_policy": offload == "always",
            "fsdp_config.seed": seed,
            # Without "extra": random numbers, which nothing draws from, and a schedule, which is constant.
            "checkpoint.save_contents": ["model", "optimizer"],
        },
        "actor_rollout_ref.ref": {"strategy": "fsdp2", **log_probs, **precision},
        "actor_rollout_ref.rollout": {
            "name": "vllm",
            "mode": "async",
            "n": config.group_size,
            "temperature": config.temperature,
            "top_p": config.top_p,
            "top_k": config.top_k or -1,
            "seed": seed,
            "dtype": trainer.dtype,
            "tensor_model_parallel_size": trainer.tensor_parallel,
            "gpu_memory_utilization": trainer.gpu_memory_share,
            "enforce_eager": trainer.eager,
            "max_model_len": context,
            "enable_prefix_caching": True,
            "calculate_log_probs": True,
            **log_probs,
            "+engine_kwargs.vllm.middleware": "infra.trainers.verl.closed.NothingServed",
            # All weights come from the trainer, the first ones too.
            "load_format": "dummy",
            "agent.default_agent_loop": AGENT_LOOP,
            "agent.agent_loop_config_path": str(paths.agent_loops),
            "agent.num_workers": 8 if cluster.has_gpus else 1,
        },
        "reward": {
            # One worker, so that all samples of a batch meet.
            "num_workers": 1,
            "reward_manager.source": "importlib",
            "reward_manager.name": "BatchRewardManager",
            "reward_manager.module.path": "pkg://infra.trainers.verl.reward_manager",
        },
        "+rzero": {"timeout_seconds": trainer.reward_timeout_seconds},
        "trainer": {
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
            "max_actor_ckpt_to_keep": KEPT_CHECKPOINTS,
            "default_local_dir": str(paths.checkpoints),
            "v1.sampler.custom_sampler.path": "pkg://infra.trainers.verl.replay",
            "v1.sampler.custom_sampler.name": "PromptReplayBuffer",
        },
    }
    settings = {
        # A leading "+" stays in front.
        ("+" if key.startswith("+") else "") + f"{section}.{key.removeprefix('+')}": value
        for section, values in sections.items()
        for key, value in values.items()
    }
    return settings | _ray(cluster) | ({} if cluster.has_gpus else _CPU)


def _attention(cluster: Cluster) -> str:
    """flash-attn where this environment has it; no package index has it compiled, so nothing may need it."""
    return "flash_attention_2" if cluster.has_gpus and find_spec("flash_attn") else "sdpa"


def _micro_batch_size(config: GrpoConfig, cluster: Cluster) -> int:
    """The largest size not above the configured one that divides a worker's rollouts of an update evenly."""
    rollouts = config.prompts_per_step // config.updates_per_step * config.group_size // cluster.workers
    return max(size for size in range(1, config.micro_batch_size + 1) if rollouts % size == 0)


def _ray(cluster: Cluster) -> dict[str, Any]:
    if cluster.address is not None:
        # Its resources were declared when it was started.
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
