"""What a stage sees of the configuration."""

from __future__ import annotations

import copy

import pytest

from data.resolve import resolve
from tasks.stage.graph import STAGES
from tasks.stage.view import UndeclaredSetting, View

CONFIG = resolve("a")


def test_a_declared_section_is_seen_whole_and_a_declared_setting_alone() -> None:
    view = View("some_stage", CONFIG, ("solver", "answers.top_p"))
    assert view.solver is CONFIG.solver
    assert view.answers.top_p == CONFIG.answers.top_p


@pytest.mark.parametrize("dotted", ["seed", "challenger", "answers.top_k", "answers.samples"])
def test_a_setting_that_is_not_declared_cannot_be_read(dotted: str) -> None:
    *sections, name = dotted.split(".")
    seen = View("some_stage", CONFIG, ("solver", "answers.top_p"))
    for section in sections:
        seen = getattr(seen, section)
    with pytest.raises(UndeclaredSetting, match=rf"some_stage reads {dotted}, which its row"):
        getattr(seen, name)


def test_asking_whether_there_is_an_attribute_does_not_hide_an_undeclared_one() -> None:
    with pytest.raises(UndeclaredSetting):
        hasattr(View("some_stage", CONFIG, ()), "solver")
    assert copy.copy(CONFIG) == CONFIG


def test_a_section_that_is_not_set_is_none() -> None:
    assert View("some_stage", CONFIG, ("memory.replay_share",)).memory is None


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_what_a_stage_declares_exists(stage: object) -> None:
    for dotted in STAGES[stage.name].reads:  # type: ignore[attr-defined]
        section = type(CONFIG)
        for name in dotted.split("."):
            fields = section.model_fields
            assert name in fields, dotted
            known = [fields[name].annotation, *getattr(fields[name].annotation, "__args__", ())]
            section = next((each for each in known if hasattr(each, "model_fields")), section)
