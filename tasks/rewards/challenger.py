"""The Challenger's reward, put together from its terms (R-Zero, section 2.2): pure functions of arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.config import RunConfig
from data.resolve import ConfigError, validated
from data.schemas import TERM_TABLES, schema_of
from tasks.rewards import terms
from tasks.rewards.term import Batch, Column, Floats, Role, Term, TermSettings
from tasks.rewards.terms.repetition import cluster_numbers, cluster_shares
from tasks.rewards.terms.uncertainty import checked_shares, uncertainty

_TYPES = {"float": np.float64, "int": np.int64, "bool": np.bool_}


class ChallengerReward:
    """The reward as a run configures it (`challenger.reward`): settings by the name of the term.

    The terms `ALWAYS` are computed even where they are not listed, or are null: then the reward does not
    depend on them. ConfigError, with one line a fault, for a term or a setting that does not exist.
    """

    def __init__(self, configured: Mapping[str, Mapping[str, Any] | None]) -> None:
        listed = {name: settings for name, settings in configured.items() if settings is not None}
        every = [terms.get(name) for name in {*terms.ALWAYS, *listed}]
        self.terms = sorted(every, key=lambda term: (term.role, term.order, term.name))
        self.settings: dict[str, TermSettings] = {
            term.name: validated(term.settings, listed[term.name], f"challenger.reward.{term.name}")
            for term in self.terms
            if term.name in listed
        }
        if not any(term.role == "gain" for term in self.acting):
            raise ConfigError(f"challenger.reward: no term earns anything, only {', '.join(sorted(listed))}")

    @property
    def listed(self) -> list[Term]:
        """The terms that the configuration lists."""
        return [term for term in self.terms if term.name in self.settings]

    @property
    def acting(self) -> list[Term]:
        """The terms that the reward depends on."""
        return [term for term in self.listed if self.settings[term.name].weight > 0]

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that `score` fills."""
        return tuple(column for term in self.terms for column in term.columns)

    def score(self, batch: Batch) -> tuple[dict[str, list[Any]], list[float]]:
        """The columns of all terms, and the reward of each question."""
        columns: dict[str, list[Any]] = {}
        parts: list[tuple[Role, float, Floats]] = []
        for term in self.terms:
            settings = self.settings.get(term.name) or term.settings.model_validate({})
            computed = term.compute(batch, settings)
            for column in term.columns:
                values: NDArray[Any] = np.asarray(computed[column.name], dtype=_TYPES[column.type])
                if values.shape != batch.valid.shape or not np.isfinite(values[batch.valid]).all():
                    raise ValueError(
                        f"the reward term {term.name!r} must compute a finite {column.name} for each of "
                        f"{len(batch.valid)} questions"
                    )
                columns[column.name] = np.where(batch.valid, values, 0).astype(values.dtype).tolist()
            if term in self.acting:
                value = np.asarray(columns[term.columns[0].name], dtype=np.float64)
                parts.append((term.role, settings.weight, value))
        return columns, _combined(parts, batch.valid).tolist()


def settled(config: RunConfig) -> RunConfig:
    """The configuration with every setting of the reward's terms filled in. Raises ConfigError."""
    formula = ChallengerReward(config.challenger.reward)
    for table in TERM_TABLES:
        try:
            schema_of(table, formula.columns)
        except ValueError as error:
            raise ConfigError(f"challenger.reward: {error}") from None
    reward = dict.fromkeys(config.challenger.reward) | {
        name: settings.model_dump(mode="json") for name, settings in formula.settings.items()
    }
    challenger = config.challenger.model_copy(update={"reward": reward})
    return config.model_copy(update={"challenger": challenger})


def rewards_by_memory(config: RunConfig) -> bool:
    """Whether the reward depends on the questions of earlier iterations."""
    return any(term.remembers for term in ChallengerReward(config.challenger.reward).acting)


def keeps_memory(config: RunConfig) -> bool:
    """Whether earlier questions are kept: for a term of the reward, if only to watch them, or to replay."""
    listed = ChallengerReward(config.challenger.reward).listed
    return config.memory is not None or any(term.remembers for term in listed)


def challenger_rewards(
    p_hat: ArrayLike,
    shares: ArrayLike,
    valid: ArrayLike,
    answered: ArrayLike | None = None,
    repetition_weight: float = 1.0,
) -> Floats:
    """max(0, uncertainty(p_hat) * answered - repetition_weight * shares), 0 where not `valid`, shape (B,).

    Paper, section 2.2, with lambda = `repetition_weight`. `answered` is the share of the Solver's samples
    that gave an answer at all (1 where None, which is the paper). All of them lie in 0..1; what they say of
    an invalid question is not looked at. Raises ValueError for other shapes or values.
    """
    keep = np.asarray(valid)
    if keep.ndim != 1:
        raise ValueError(f"valid must have one dimension, not shape {keep.shape}")
    if keep.size == 0:
        keep = keep.astype(bool)
    if keep.dtype != np.bool_:
        raise ValueError(f"valid must hold booleans, not {keep.dtype}")
    if not (np.isfinite(repetition_weight) and repetition_weight >= 0.0):
        raise ValueError(f"repetition_weight must be a number from 0 up, not {repetition_weight!r}")
    answered = np.ones(len(keep)) if answered is None else answered
    checked = {}
    for name, values in {"p_hat": p_hat, "shares": shares, "answered": answered}.items():
        array = np.asarray(values, dtype=np.float64)
        if array.shape != keep.shape:
            raise ValueError(f"{name} has shape {array.shape}, but valid has shape {keep.shape}")
        checked[name] = checked_shares(name, np.where(keep, array, 0.0))
    return _combined(
        [
            ("factor", 1.0, checked["answered"]),
            ("gain", 1.0, uncertainty(checked["p_hat"])),
            ("penalty", repetition_weight, checked["shares"]),
        ],
        keep,
    )


def _combined(parts: Iterable[tuple[Role, float, Floats]], valid: NDArray[np.bool_]) -> Floats:
    """max(0, sum of the gains * product of the factors - penalties), 0 where not `valid`."""
    parts = list(parts)
    reward = np.zeros(len(valid))
    for role, weight, values in parts:
        if role == "gain":
            reward = reward + weight * values
    for role, weight, values in parts:
        if role == "factor":
            reward = reward * (values if weight == 1.0 else values**weight)
    for role, weight, values in parts:
        if role == "penalty":
            reward = reward - weight * values
    return np.where(valid, np.maximum(0.0, reward), 0.0)


__all__ = [
    "ChallengerReward",
    "challenger_rewards",
    "cluster_numbers",
    "cluster_shares",
    "keeps_memory",
    "rewards_by_memory",
    "settled",
    "uncertainty",
]
