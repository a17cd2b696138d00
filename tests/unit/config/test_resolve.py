"""Presets, overrides, and what people are told when they are wrong."""

from importlib import import_module, resources
from typing import Any, get_args

import pytest
import yaml
from prefect import Flow
from prefect.exceptions import ParameterTypeError
from prefect.utilities.callables import parameter_schema

from data.backends import (
    SamplerConfig,
    ServerSamplerConfig,
    TrainerConfig,
    VerlTrainerConfig,
    VllmSamplerConfig,
    variants,
)
from data.config import RunConfig
from data.resolve import ConfigError, first_difference, resolve, validate, yaml_names


@pytest.mark.parametrize("preset", yaml_names("data.presets"))
def test_every_preset_resolves_and_survives_json(preset: str) -> None:
    config = resolve("a", preset)
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


def test_an_override_reaches_its_section() -> None:
    config = resolve("a", overrides=["solver.learning_rate=2e-6", "evaluation.benchmarks=[arithmetic]"])
    assert config.solver.learning_rate == 2e-6
    assert config.evaluation.benchmarks == ("arithmetic",)


def test_an_overlay_changes_its_settings_and_leaves_the_others() -> None:
    plain, laid_over = resolve("a", "qwen3-4b"), resolve("a", "qwen3-4b+official-code+verl")
    assert laid_over.solver.updates_per_step == 4
    assert isinstance(laid_over.sampler, VllmSamplerConfig)
    assert laid_over.sampler.eager
    assert laid_over.solver.learning_rate == plain.solver.learning_rate
    assert laid_over.base_model == plain.base_model


def test_another_backend_keeps_the_presets_settings_that_it_has_and_drops_the_others() -> None:
    small = resolve("a", "smollm2-135m", ["sampler.backend=server", "trainer.backend=verl"])
    assert isinstance(small.sampler, ServerSamplerConfig)
    assert (small.sampler.dtype, small.sampler.threads) == ("bfloat16", 2)
    assert isinstance(small.trainer, VerlTrainerConfig)
    laid_over = resolve("a", "smollm2-135m+verl")
    assert isinstance(laid_over.sampler, VllmSamplerConfig)
    assert (laid_over.sampler.threads, laid_over.sampler.eager) == (2, True)


@pytest.mark.parametrize("preset", yaml_names("data.presets"))
def test_a_preset_holds_no_setting_of_another_backend(preset: str) -> None:
    values = yaml.safe_load(resources.files("data.presets").joinpath(f"{preset}.yaml").read_text())
    assert validate(values | {"run": "a"}).base_model == resolve("a", preset).base_model


@pytest.mark.parametrize(
    ("open_one", "union"), [("infra.samplers", SamplerConfig), ("infra.trainers", TrainerConfig)]
)
def test_every_backend_has_its_implementation(open_one: str, union: Any) -> None:
    backends = variants(get_args(union)[0])
    assert backends
    for name in backends:
        assert callable(import_module(f"{open_one}.{name}").open_backend)


def test_a_form_shows_each_backend_with_its_own_settings() -> None:
    def starts(config: RunConfig) -> None:
        """What a flow asks for."""

    schema = parameter_schema(starts)
    sampler = schema.definitions["RunConfig"]["properties"]["sampler"]
    assert set(sampler["discriminator"]["mapping"]) == {"transformers", "vllm", "server"}
    assert "urls" not in schema.definitions["VllmSamplerConfig"]["properties"]
    config = resolve("a", "qwen3-4b").model_dump(mode="json")
    assert Flow(starts).validate_parameters({"config": config})["config"] == resolve("a", "qwen3-4b")
    config["sampler"] |= {"backend": "transformers"}
    with pytest.raises(ParameterTypeError):
        Flow(starts).validate_parameters({"config": config})


def test_the_papers_presets_have_the_papers_numbers() -> None:
    for preset in ("qwen3-4b", "qwen3-8b", "octothinker-3b", "octothinker-8b"):
        config = resolve("a", preset)
        assert (config.challenger.steps, config.challenger.group_size) == (5, 4)
        assert (config.solver.steps, config.solver.group_size) == (15, 5)
        for role in (config.challenger, config.solver):
            assert (role.prompts_per_step, role.learning_rate, role.weight_decay) == (128, 1e-6, 1e-2)
            assert (role.kl_coefficient, role.temperature, role.top_p) == (1e-2, 1.0, 0.99)
        assert (config.questions.count, config.answers.samples, config.filter.delta) == (8000, 10, 0.25)
        assert config.challenger.reward_samples == 10
        assert config.iterations == 3


def test_overrides_may_be_a_mapping() -> None:
    assert resolve("a", overrides={"questions.count": 17}).questions.count == 17


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"preset": "tinny"}, "there is no preset 'tinny'; there are: octothinker-3b"),
        (
            {"preset": "tiny+oficial"},
            "there is no overlay 'oficial'; there are: agent0-solver, lora, ",
        ),
        (
            {"overrides": ["sampler.backend=server", "sampler.urls=[ftp://x]"]},
            "sampler.urls: that is no endpoint",
        ),
        (
            {"overrides": ["trainer.backend=verl", "trainer.nodes=2"]},
            "trainer: nodes above 1 need work_folder",
        ),
        (
            {"overrides": ["sampler.backend=vllm", "sampler.threadz=2"]},
            "sampler.threadz: there is no such setting; did you mean 'sampler.threads'?",
        ),
        (
            {"overrides": ["sampler.backend=vllm", "sampler.python=/tmp/anything"]},
            "sampler.python: no run may say it: set $RZERO_COMPUTE_PYTHON in the environment",
        ),
        (
            {"overrides": {"trainer.backend": "verl", "trainer.ray_address": "elsewhere:6379"}},
            "trainer.ray_address: no run may say it: set $RZERO_RAY_ADDRESS in the environment",
        ),
        (
            {"overrides": ["sampler.port=1"]},
            "sampler.port: the backend 'transformers' has no such setting; it belongs to 'server'",
        ),
        (
            {"overrides": ["sampler.batch_tokens=1", "sampler.backend=vllm"]},
            "sampler.batch_tokens: the backend 'vllm' has no such setting; it belongs to 'transformers'",
        ),
        (
            {"overrides": ["trainer.threads=many"]},
            "trainer.threads: input should be a valid integer",
        ),
        (
            {"overrides": ["sampler.backend=vlm"]},
            "sampler.backend: there is no backend 'vlm'; did you mean 'vllm'?",
        ),
        ({"overrides": {"sampler.backend": ["vllm"]}}, "sampler.backend: there is no backend \"['vllm']\""),
        ({"overrides": {"trainer": {}}}, "trainer.backend: must be set; there are: local, verl"),
        ({"overrides": ["solver.lerning_rate=1"]}, "did you mean 'solver.learning_rate'?"),
        (
            {"overrides": ["learning_rate=1"]},
            "did you mean 'challenger.learning_rate' or 'solver.learning_rate'?",
        ),
        ({"overrides": ["solvr.steps=1"]}, "solvr: there is no such setting; did you mean 'solver'?"),
        ({"overrides": ["solver.steps=many"]}, "solver.steps: "),
        ({"overrides": ["solver.learning_rate=nan"]}, "solver.learning_rate: "),
        ({"overrides": ["seed.x=1"]}, "seed: "),
        ({"overrides": ["store.x.y=1"]}, "store: "),
        ({"overrides": ["filter.delta"]}, "key=value"),
        ({"overrides": ["evaluation.benchmarks=[a"]}, "not valid YAML"),
        ({"overrides": ["run=b"]}, "run: is named outright"),
        ({"iterations": -1}, "iterations: "),
        ({"iterations": 0}, "iterations: "),
        ({"run": "../up"}, "is not a run name"),
        ({"run": "a/b"}, "is not a run name"),
        ({"run": "a..b"}, "is not a run name"),
        ({"run": ""}, "is not a run name"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(given: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        resolve(**({"run": "a"} | given))  # type: ignore[arg-type]
    message = str(raised.value)
    assert told in message
    assert "\n" not in message


def test_two_wrong_settings_are_told_in_two_lines() -> None:
    with pytest.raises(ConfigError) as raised:
        resolve("a", overrides=["solver.steps=-1", "filter.delta=7"])
    assert [line.split(":")[0] for line in str(raised.value).splitlines()] == ["filter.delta", "solver.steps"]


def test_the_first_difference_names_the_field_and_both_values() -> None:
    one, other = resolve("a"), resolve("a", overrides=["solver.steps=3"])
    assert first_difference(one, other) == f"solver.steps: was {one.solver.steps}, now 3"
    assert first_difference(one, one) is None


def test_ignored_fields_do_not_differ() -> None:
    assert first_difference(resolve("a", store="x"), resolve("a", store="y"), ignore=["store"]) is None


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        resolve("a").seed = 3  # type: ignore[misc]


def test_every_field_is_described() -> None:
    def fields(model: type, path: str) -> list[str]:
        missing = []
        for name, field in model.model_fields.items():  # type: ignore[attr-defined]
            if not field.description:
                missing.append(f"{path}.{name}")
            for kind in (field.annotation, *getattr(field.annotation, "__args__", ())):
                if hasattr(kind, "model_fields"):
                    missing += fields(kind, f"{path}.{name}")
        return missing

    assert fields(RunConfig, "RunConfig") == []


@pytest.mark.parametrize(
    ("kept", "steps"),
    [(1000, 8), (256, 8), (255, 7), (95, 2), (64, 2), (33, 1), (32, 1), (1, 1)],
)
def test_questions_are_trained_on_no_more_often_than_max_epochs_says_but_in_one_step_at_least(
    kept: int, steps: int
) -> None:
    given = ["solver.steps=8", "solver.prompts_per_step=32", "solver.max_epochs=1"]
    config = resolve("a", "tiny", overrides=given).solver
    assert config.on(kept).steps == steps
    assert config.on(kept).model_dump(exclude={"steps"}) == config.model_dump(exclude={"steps"})
    assert resolve("a", "tiny", overrides=[*given, "solver.max_epochs=null"]).solver.on(kept).steps == 8
    assert resolve("a", "tiny", overrides=[*given, "solver.steps=0"]).solver.on(kept).steps == 0


def test_verl_trains_with_max_epochs_which_it_need_not_know() -> None:
    resolve("a", "qwen3-4b+verl", overrides=["solver.max_epochs=1"])
    with pytest.raises(ConfigError, match="verl has no solver\\.label_trust"):
        resolve("a", "qwen3-4b+verl", overrides=["solver.max_epochs=1", "solver.label_trust=1"])
