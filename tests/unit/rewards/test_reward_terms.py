"""The terms of the Challenger's reward: how a run configures them, and how they are put together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.config import DEFAULT_REWARD
from data.resolve import ConfigError, resolve, yaml_names
from data.schemas import TERM_TABLES, schema_of
from flows.start import begin
from infra.artifacts.runs import load_run
from infra.store.store import Store
from tasks.rewards import terms
from tasks.rewards.challenger import ChallengerReward, challenger_rewards, settled, uncertainty
from tasks.rewards.term import Batch
from tests.support.reward_term import WORDS, install_reward_term

QUESTIONS = ("what is one plus two", "what is one plus two now", "name the seventh prime", "37 + 5", None)


def _batch(numbers: list[tuple[int, float, float]], earlier: tuple[str, ...] = ()) -> Batch:
    """A batch of which each number says the question, p_hat and the share that answered."""
    questions = [QUESTIONS[index] for index, _, _ in numbers]
    valid = np.array([question is not None for question in questions], dtype=bool)
    p_hat = np.array([p for _, p, _ in numbers])
    return Batch(questions, valid, p_hat, np.array([a for _, _, a in numbers]), earlier=earlier)


shares = st.floats(0, 1)
weights = st.floats(0, 10)
batches = st.lists(st.tuples(st.integers(0, 4), shares, shares), max_size=12)


@given(batches, weights, weights)
@settings(deadline=None)
def test_the_built_in_terms_give_the_paper_s_formula_to_the_last_bit(
    numbers: list[tuple[int, float, float]], repetition: float, memory: float
) -> None:
    batch = _batch(numbers, earlier=("what is one plus two",))
    reward = ChallengerReward(
        DEFAULT_REWARD | {"repetition": {"weight": repetition}, "memory": {"weight": memory}}
    )
    columns, rewards = reward.score(batch)
    formula = uncertainty(batch.p_hat) * batch.answered - repetition * np.array(columns["cluster_share"])
    formula = formula - memory * np.array(columns["near_earlier"], dtype=float)
    assert rewards == np.where(batch.valid, np.maximum(0.0, formula), 0.0).tolist()


@given(batches, weights)
@settings(deadline=None)
def test_the_paper_s_reward_is_the_same_from_terms_and_from_arrays(
    numbers: list[tuple[int, float, float]], weight: float
) -> None:
    batch = _batch(numbers)
    columns, rewards = ChallengerReward(DEFAULT_REWARD | {"repetition": {"weight": weight}}).score(batch)
    share = columns["cluster_share"]
    assert rewards == challenger_rewards(batch.p_hat, share, batch.valid, batch.answered, weight).tolist()


def test_the_order_in_which_terms_are_listed_does_not_matter() -> None:
    listed = DEFAULT_REWARD | {"memory": {"weight": 0.3}}
    batch = _batch([(0, 0.6, 0.9), (1, 0.4, 1.0), (4, 0.0, 0.0)], earlier=("what is one plus two",))
    one, other = ChallengerReward(listed), ChallengerReward(dict(reversed(listed.items())))
    assert one.score(batch) == other.score(batch)
    assert one.columns == other.columns


def test_a_term_of_weight_zero_and_one_that_is_null_have_no_say_but_keep_their_columns() -> None:
    batch = _batch([(0, 0.5, 0.5), (0, 0.5, 1.0)])
    for off in ({"weight": 0.0}, None):
        reward = ChallengerReward(DEFAULT_REWARD | {"answered": off, "repetition": off})
        columns, rewards = reward.score(batch)
        assert rewards == [1.0, 1.0]
        assert columns["answered_share"] == [0.5, 1.0]
        assert columns["cluster_size"] == [2, 2]


def test_a_factor_is_raised_to_its_weight() -> None:
    reward = ChallengerReward(DEFAULT_REWARD | {"answered": {"weight": 2}, "repetition": None})
    assert reward.score(_batch([(0, 0.5, 0.5)]))[1] == [0.25]


def test_the_default_is_the_paper_s_reward_with_every_setting_filled_in() -> None:
    for preset in yaml_names("data.presets"):
        config = resolve("a", preset)
        assert config.challenger.reward == DEFAULT_REWARD
        assert settled(config) == config


def test_an_override_changes_one_setting_and_null_leaves_a_term_out() -> None:
    overrides = ["challenger.reward.repetition.threshold=0.4", "challenger.reward.answered=null"]
    config = settled(resolve("a", overrides=overrides))
    assert config.challenger.reward == {
        "uncertainty": {"weight": 1.0},
        "answered": None,
        "repetition": {"weight": 1.0, "threshold": 0.4},
    }


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("repetiton.weight=2", r"challenger.reward: unknown term 'repetiton': known are .*repetition"),
        (
            "repetition.treshold=0.4",
            r"no such setting; did you mean 'challenger\.reward\.repetition\.threshold'",
        ),
        ("repetition.threshold=3", r"reward.repetition.threshold: input should be less than or equal to 1"),
        ("repetition.weight=-1", r"challenger.reward.repetition.weight: input should be greater than"),
        ("uncertainty=null", r"challenger.reward: no term earns anything, only answered, repetition"),
    ],
)
def test_a_wrong_term_or_setting_is_one_clear_line_before_anything_is_written(
    tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        begin("a", store=str(tmp_path / "store"), overrides=[f"challenger.reward.{override}"])
    assert "\n" not in str(error.value)
    assert not (tmp_path / "store/runs").exists()


def test_a_column_that_a_table_has_already_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_reward_term(tmp_path, monkeypatch, column="reward")
    with pytest.raises(ConfigError, match=r"challenger.reward: .* column 'reward' is in the table 'scored'"):
        settled(resolve("a", overrides=["challenger.reward.words={}"]))


def test_each_file_declares_a_term_of_its_name_with_described_columns() -> None:
    for name in terms.names():
        term = terms.get(name)
        assert term.name == name
        assert term.source
        assert all(column.description.endswith(".") for column in term.columns)


def test_another_package_adds_a_term_by_an_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_reward_term(tmp_path, monkeypatch)
    overrides = {"challenger.reward.words.weight": "0.5", "challenger.reward.words.enough": "6"}
    config = begin("a", store=str(tmp_path / "store"), overrides=overrides)
    assert config.challenger.reward["words"] == {"weight": 0.5, "enough": 6}
    reward = ChallengerReward(config.challenger.reward)
    columns, rewards = reward.score(_batch([(0, 0.5, 1.0), (2, 0.5, 1.0)]))
    assert columns["word_share"] == [5 / 6, 4 / 6]
    assert rewards == pytest.approx([1 + 0.5 * 5 / 6 - 0.5, 1 + 0.5 * 4 / 6 - 0.5])
    for table in TERM_TABLES:
        field = schema_of(table, reward.columns).field("word_share")
        assert field.metadata == {b"description": WORDS.encode()}
        assert "word_share" not in schema_of(table, ChallengerReward(DEFAULT_REWARD).columns).names


@pytest.mark.parametrize(
    ("memory", "reward"),
    [
        (None, {}),
        ({"penalty_weight": 0.5, "replay_share": 0.25}, {"memory": {"weight": 0.5}}),
    ],
)
def test_a_run_that_an_earlier_version_began_goes_on_with_its_reward(
    tmp_path: Path, memory: Mapping[str, Any] | None, reward: dict[str, Any]
) -> None:
    values = resolve("a").model_dump(mode="json")
    del values["challenger"]["reward"]
    values["challenger"] |= {"repetition_weight": 2.0, "repetition_threshold": 0.5}
    values["memory"] = memory
    store = Store(str(tmp_path))
    store.put("runs/a/run.json", json.dumps(values).encode())
    config = load_run(store, "a")
    assert config is not None
    assert (
        config.challenger.reward
        == DEFAULT_REWARD | {"repetition": {"weight": 2.0, "threshold": 0.5}} | reward
    )
    assert (config.memory is None) == (memory is None)
    assert settled(config) == config
