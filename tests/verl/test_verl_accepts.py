"""Every preset resolves to a configuration that verl itself accepts, for 1, 4 and 8 GPUs and for a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data.backends import VerlTrainerConfig
from data.config import GrpoConfig
from data.resolve import resolve, yaml_names
from infra.jobs.process import DeviceJob
from infra.machine.gpus import share_gpus
from infra.trainers.verl.cluster import Cluster, Paths
from infra.trainers.verl.settings import verl_settings

TIMEOUT_SECONDS = 900.0
GPUS = (0, 1, 4, 8)
PATHS = Paths(Path("/model"), Path("/work"))


def _settings(preset: str, role: str, gpus: int, **trainer: Any) -> dict[str, Any]:
    overrides = {f"trainer.{name}": value for name, value in {"backend": "verl", **trainer}.items()}
    config = resolve("a", preset, overrides)
    assert isinstance(config.trainer, VerlTrainerConfig)
    section = getattr(config, role)
    used = len(share_gpus(range(gpus), None)[0]) if role == "challenger" and gpus else gpus
    return verl_settings(
        role,
        GrpoConfig(**{name: getattr(section, name) for name in GrpoConfig.model_fields}),
        config.trainer,
        config.seed,
        Cluster(1, used or 1, has_gpus=used > 0),
        PATHS,
        prompt_tokens=256,
        longest_context=None,
    )


def _problems(python: str, settings: dict[str, dict[str, Any]]) -> dict[str, str]:
    environment = {
        "VERL_USE_EXTERNAL_MODULES": "infra.trainers.verl.cpu.platform",
        "VERL_PLATFORM": "cpu",
        "PYTHONPATH": str(Path(__file__).parent),
    }
    entry = "entries:check"
    with DeviceJob("verl", entry, {"settings": settings}, python, environment) as job:
        problems: dict[str, str] = job.wait_for("done", TIMEOUT_SECONDS, "the check")["result"]
        return problems


def test_verl_accepts_every_preset_on_every_layout(python: str) -> None:
    presets = [*yaml_names("data.presets"), "qwen3-4b+official-code"]
    settings = {
        f"{preset} {role} on {gpus} GPUs": _settings(preset, role, gpus)
        for preset in presets
        for role in ("challenger", "solver")
        for gpus in GPUS
    }
    settings["LoRA"] = _settings("qwen3-8b+lora", "solver", 1)
    settings["offloaded"] = _settings("qwen3-8b", "solver", 1, offload="always")
    assert len(settings) == 2 * 4 * len(presets) + 2
    assert _problems(python, settings) == {}


def test_a_key_that_verl_does_not_have_is_found(python: str) -> None:
    settings = {**_settings("qwen3-4b", "solver", 8), "actor_rollout_ref.actor.no_such_key": 1}
    problems = _problems(python, {"one": settings})
    assert "no actor_rollout_ref.actor.no_such_key" in problems["one"]
