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


def test_a_configuration_of_today_stays_as_it_is() -> None:
    values = resolve("a", overrides=["domain=mathematics"]).model_dump(mode="json")
    assert upgraded(values) == values
