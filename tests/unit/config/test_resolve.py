"""Presets, overrides, and what people are told when they are wrong."""

import pytest

from data.config import RunConfig
from data.resolve import ConfigError, first_difference, preset_names, resolve


@pytest.mark.parametrize("preset", preset_names())
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
    assert laid_over.sampler.eager
    assert laid_over.solver.learning_rate == plain.solver.learning_rate
    assert laid_over.base_model == plain.base_model


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
        ({"preset": "tiny+oficial"}, "there is no overlay 'oficial'; there are: official-code, verl"),
        ({"overrides": ["sampler.urls=[ftp://x]"]}, "sampler.urls: 'ftp://x' is no endpoint"),
        ({"overrides": ["trainer.nodes=2"]}, "trainer: nodes above 1 need ray_address"),
        ({"overrides": ["solver.lerning_rate=1"]}, "did you mean 'learning_rate'?"),
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
            kind = next(
                (
                    k
                    for k in (field.annotation, *getattr(field.annotation, "__args__", ()))
                    if hasattr(k, "model_fields")
                ),
                None,
            )
            if kind:
                missing += fields(kind, f"{path}.{name}")
        return missing

    assert fields(RunConfig, "RunConfig") == []
