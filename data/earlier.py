"""Configurations that an earlier version of rzero wrote, converted to today's fields.

A store outlives a version. Each step below turns one older spelling into the next; a configuration that
has today's fields passes through unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from data.backends import WHERE_IT_WORKS

Values = dict[str, Any]


def _domain_of_its_own(values: Values) -> Values:
    """The base model's recipe and prompt style used to say what a run was about."""
    base = dict(values.get("base_model") or {})
    if base.get("prompt_style") == "tiny":
        del base["prompt_style"]
    domain = "arithmetic" if base.get("tiny") is not None else "mathematics"
    return {"domain": domain, **values, "base_model": base}


_ENGINE = {
    *("context_tokens", "python", "gpus", "tensor_parallel", "gpu_memory_share", "eager"),
    *("replicas", "request_timeout_seconds", "start_timeout_seconds"),
}
_SERVER = {"urls", "served_model", "port", "requests_at_once"}
_VERL = {
    *("context_tokens", "lora_rank", "lora_alpha", "python", "gpus", "nodes", "gpus_per_node", "ray_address"),
    *("work_folder", "tensor_parallel", "gpu_memory_share", "offload", "eager", "reward_timeout_seconds"),
    "stall_timeout_seconds",
}
_OF_OTHERS = {
    ("sampler", "transformers"): _ENGINE | _SERVER,
    ("sampler", "vllm"): _SERVER | {"batch_tokens"},
    ("sampler", "server"): {"batch_tokens"},
    ("trainer", "local"): _VERL,
}


def _without_settings_of_other_backends(values: Values) -> Values:
    """Until 0.1 `sampler` and `trainer` held the settings of every backend, whichever was chosen."""
    fitted = dict(values)
    for name in ("sampler", "trainer"):
        if isinstance(section := values.get(name), dict):
            others = _OF_OTHERS.get((name, str(section.get("backend"))), set())
            fitted[name] = {key: value for key, value in section.items() if key not in others}
    return fitted


def _time_limits(values: Values) -> Values:
    """Time limits had a field for each stage, null where there was none."""
    limits = values.get("timeout_seconds") or {}
    return {
        **values,
        "timeout_seconds": {stage: limit for stage, limit in limits.items() if limit is not None},
    }


def _reward_terms(values: Values) -> Values:
    """The weights of the Challenger's reward used to be fields of `challenger` and `memory`."""
    challenger, memory = dict(values.get("challenger") or {}), values.get("memory")
    moved: dict[str, dict[str, Any]] = {}
    for field in ("weight", "threshold"):
        if f"repetition_{field}" in challenger:
            moved.setdefault("repetition", {})[field] = challenger.pop(f"repetition_{field}")
    if memory is not None and "penalty_weight" in memory:
        memory = dict(memory)
        moved["memory"] = {"weight": memory.pop("penalty_weight")}
    if not moved:
        return values
    challenger["reward"] = moved | (challenger.get("reward") or {})
    return {**values, "challenger": challenger, "memory": memory}


def _without_programs(values: Values) -> Values:
    """Until 0.1 a setting could name an interpreter or a Ray cluster, and so a program to run."""
    backends = {name: values[name] for name in ("sampler", "trainer") if isinstance(values.get(name), dict)}
    return values | {
        name: {key: value for key, value in section.items() if key not in WHERE_IT_WORKS}
        for name, section in backends.items()
    }


def _offload_in_words(values: Values) -> Values:
    """`trainer.offload` was yes or no."""
    trainer = values.get("trainer")
    if not isinstance(trainer, dict) or not isinstance(trainer.get("offload"), bool):
        return values
    words = "between_steps" if trainer["offload"] else "never"
    return {**values, "trainer": {**trainer, "offload": words}}


STEPS: tuple[Callable[[Values], Values], ...] = (
    _domain_of_its_own,
    _without_settings_of_other_backends,
    _time_limits,
    _reward_terms,
    _without_programs,
    _offload_in_words,
)
"""From the oldest spelling to the newest; each takes and returns the whole configuration."""


_SECTIONS = ("base_model", "challenger", "memory", "sampler", "trainer", "timeout_seconds")


def upgraded(values: Any) -> Any:
    """The values of a frozen configuration with today's names; what never was one passes through."""
    if not isinstance(values, dict) or not all(isinstance(values.get(n) or {}, dict) for n in _SECTIONS):
        return values
    if not isinstance((values.get("challenger") or {}).get("reward") or {}, dict):
        return values
    for step in STEPS:
        values = step(values)
    return values
