"""What a run remembers of earlier iterations' questions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.resolve import resolve
from tasks.curriculum.memory import memory_rows, replayed
from tasks.stage.graph import STAGES


def _remembered(
    question: str, iteration: int = 1, number: int = 0, label: str | None = "7"
) -> dict[str, Any]:
    return {
        "iteration": iteration,
        "question_id": number,
        "question": question,
        "pseudo_label": label,
        "p_hat": 0.5,
    }


def test_the_memory_grows_by_the_well_formed_candidates_and_the_labels_of_those_kept() -> None:
    scored = [
        {"question_id": 0, "question": "a", "p_hat": 0.5},
        {"question_id": 1, "question": None, "p_hat": 0.0},
        {"question_id": 2, "question": "c", "p_hat": 1.0},
    ]
    kept = [{"question_id": 0, "pseudo_label": "4"}]
    rows = memory_rows([_remembered("z")], 2, scored, kept)
    assert [(row["iteration"], row["question"], row["pseudo_label"]) for row in rows] == [
        (1, "z", "7"),
        (2, "a", "4"),
        (2, "c", None),
    ]


def test_what_was_dropped_or_is_kept_anew_is_not_replayed() -> None:
    memory = [_remembered("a"), _remembered("b", number=1, label=None), _remembered("c", number=2)]
    assert [row["question"] for row in replayed(memory, ["c"], 1.0, seed=0)] == ["a"]


def test_a_question_kept_twice_is_replayed_once_with_its_newest_label() -> None:
    memory = [_remembered("a", label="1"), _remembered("a", iteration=2, label="2")]
    assert [row["pseudo_label"] for row in replayed(memory, [], 1.0, seed=0)] == ["2"]


@given(st.integers(0, 60), st.floats(0, 1), st.integers(0, 2**63 - 1))
def test_the_share_replayed_is_the_share_asked_for_and_the_seed_decides_which(
    count: int, share: float, seed: int
) -> None:
    memory = [_remembered(str(number), number=number) for number in range(count)]
    again = replayed(memory, [], share, seed)
    assert len(again) == round(share * count)
    assert again == replayed(memory, [], share, seed)
    numbers = [row["question_id"] for row in again]
    assert numbers == sorted(set(numbers))


def test_nothing_is_remembered_unless_it_is_asked_for() -> None:
    config = resolve("a")
    assert not any("earlier" in stage.inputs_in(config, 2) for stage in STAGES.values())


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("memory.replay_share=0.3", {"score_and_filter"}),
        ("challenger.reward.memory.weight=0", {"score_and_filter"}),
        ("challenger.reward.memory.weight=0.5", {"score_and_filter", "train_challenger"}),
    ],
)
def test_what_remembers_is_made_from_the_iteration_before(override: str, stages: set[str]) -> None:
    config = resolve("a", overrides=[override])
    assert {name for name in STAGES if "earlier" in STAGES[name].inputs_in(config, 2)} == stages
    assert not any("earlier" in STAGES[name].inputs_in(config, 1) for name in STAGES)
