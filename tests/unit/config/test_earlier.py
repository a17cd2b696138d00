"""Configurations of earlier versions load with today's fields."""

from typing import Any

import pytest

from data.earlier import upgraded
from data.resolve import resolve, validate


def _written_before_domains(preset: str) -> dict[str, Any]:
    values = resolve("a", preset).model_dump(mode="json")
    del values["domain"]
    if values["base_model"]["tiny"] is not None:
        values["base_model"]["prompt_style"] = "tiny"
    return values


@pytest.mark.parametrize("preset", ["tiny", "qwen3-4b", "smollm2-135m"])
def test_a_run_without_a_domain_gets_that_of_its_base_model(preset: str) -> None:
    assert validate(upgraded(_written_before_domains(preset))) == resolve("a", preset)


FLAT_SAMPLER = {
    "device": "auto",
    "dtype": "float32",
    "batch_tokens": 65536,
    "threads": 1,
    "context_tokens": None,
    "python": "/env/bin/python",
    "gpus": [],
    "tensor_parallel": 1,
    "replicas": 0,
    "gpu_memory_share": 0.9,
    "eager": False,
    "urls": [],
    "served_model": None,
    "port": 0,
    "requests_at_once": 256,
    "request_timeout_seconds": 600.0,
    "start_timeout_seconds": 900.0,
}
FLAT_TRAINER = {
    "device": "auto",
    "dtype": "float32",
    "threads": 1,
    "context_tokens": None,
    "lora_rank": 0,
    "lora_alpha": 32,
    "python": "/env/bin/python",
    "gpus": [],
    "solver_gpus": None,
    "nodes": 1,
    "gpus_per_node": 0,
    "ray_address": "head:6379",
    "work_folder": None,
    "tensor_parallel": 1,
    "gpu_memory_share": 0.5,
    "offload": None,
    "eager": False,
    "reward_timeout_seconds": 3600.0,
    "stall_timeout_seconds": 3600.0,
}


@pytest.mark.parametrize(
    ("sampler", "trainer"), [("transformers", "local"), ("vllm", "verl"), ("server", "verl")]
)
def test_sections_that_held_the_settings_of_every_backend_keep_those_of_their_own(
    sampler: str, trainer: str
) -> None:
    today = resolve("a").model_dump(mode="json")
    flat: dict[str, Any] = {
        **today,
        "sampler": {"backend": sampler, **FLAT_SAMPLER},
        "trainer": {"backend": trainer, **FLAT_TRAINER},
    }
    config = validate(upgraded(flat))
    # `sleeps` came later.
    kept = config.sampler.model_dump(mode="json", exclude={"sleeps"})
    assert kept.items() <= flat["sampler"].items()
    assert config.trainer.model_dump(mode="json").items() <= flat["trainer"].items()
    assert (config.sampler.backend, config.trainer.backend) == (sampler, trainer)


@pytest.mark.parametrize("backend", ["vllm", "server"])
def test_a_run_that_named_its_interpreter_and_its_cluster_loads_without_them(backend: str) -> None:
    today = resolve("a", "qwen3-4b", overrides=[f"sampler.backend={backend}"]).model_dump(mode="json")
    sampler = {**today["sampler"], "python": "/env/bin/python"}
    trainer = {**today["trainer"], "python": "/env/bin/python", "ray_address": "head:6379"}
    earlier = {**today, "sampler": sampler, "trainer": trainer}
    assert upgraded(earlier) == today
    assert validate(upgraded(earlier)).model_dump(mode="json") == today


@pytest.mark.parametrize(
    ("earlier", "today"), [(True, "between_steps"), (False, "never"), (None, None), ("always", "always")]
)
def test_offloading_that_was_yes_or_no_says_when(earlier: bool | str | None, today: str | None) -> None:
    values = resolve("a", "qwen3-4b").model_dump(mode="json")
    values["trainer"]["offload"] = earlier
    assert validate(upgraded(values)).trainer.offload == today  # type: ignore[union-attr]


@pytest.mark.parametrize("preset", ["tiny", "qwen3-4b"])
def test_a_configuration_of_today_stays_as_it_is(preset: str) -> None:
    values = resolve("a", preset, overrides=["domain=mathematics"]).model_dump(mode="json")
    assert upgraded(values) == values


ADDED = {
    "challenger": {"examples", "vocabulary_dropout"},
    "solver": {"max_epochs", "drop_flat_groups", "label_trust", "clip_ambiguity"},
    "filter": {"surest_share"},
}


@pytest.mark.parametrize("preset", ["tiny", "qwen3-4b"])
def test_a_run_from_before_a_setting_was_added_loads_and_has_the_keys_that_it_had(preset: str) -> None:
    today = resolve("a", preset, overrides=["solver.max_epochs=null"])
    earlier = today.model_dump(mode="json")
    assert earlier.pop("roles") == "two"
    for section, names in ADDED.items():
        earlier[section] = {name: value for name, value in earlier[section].items() if name not in names}
    assert validate(upgraded(earlier)) == today
    for section in ADDED:
        assert getattr(today, section).key_values() == earlier[section]


@pytest.mark.parametrize(
    ("override", "section"),
    [
        ("solver.max_epochs=2", "solver"),
        ("solver.drop_flat_groups=true", "solver"),
        ("solver.label_trust=1", "solver"),
        ("solver.clip_ambiguity=0.5", "solver"),
        ("filter.surest_share=0.5", "filter"),
        ("challenger.vocabulary_dropout.share=0.1", "challenger"),
        ("challenger.examples.count=1", "challenger"),
    ],
)
def test_an_added_setting_enters_the_key_of_its_section_once_it_is_changed(
    override: str, section: str
) -> None:
    plain, changed = resolve("a", "smollm2-135m"), resolve("a", "smollm2-135m", overrides=[override])
    (name,) = set(getattr(changed, section).key_values()) - set(getattr(plain, section).key_values())
    assert override.startswith(f"{section}.{name}")
