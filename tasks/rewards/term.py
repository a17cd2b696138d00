"""What a term of the Challenger's reward is; each file in `tasks/rewards/terms/` declares one as `TERM`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from data.section import Section

Floats = NDArray[np.float64]
Role = Literal["factor", "gain", "penalty"]


class Column(NamedTuple):
    """A column that a term adds to the tables `rollouts`, `probe` and `scored`."""

    name: str
    type: Literal["float", "int", "bool"]
    description: str


@dataclass(frozen=True)
class Batch:
    """The questions of one batch and the votes on them; all fields but `earlier` are of one length.

    A question is None where the Challenger's completion is badly formed: it is not `valid`, and whatever a
    term says of it counts as 0.
    """

    questions: Sequence[str | None]
    valid: NDArray[np.bool_]
    p_hat: Floats
    """Votes of the majority answer divided by the samples that answered."""
    answered: Floats
    """Share of the Solver's samples that gave an answer."""
    majority_answers: Sequence[str | None] = ()
    own_answers: Sequence[str | None] = ()
    """The Challenger's own answers."""
    earlier: Sequence[str] = ()
    """Questions of earlier iterations; only for a term that `remembers`."""


class TermSettings(Section):
    """The settings of every term. A term with options of its own declares them in a subclass."""

    weight: float = Field(
        1.0,
        ge=0.0,
        description="Multiplies a gain or a penalty; the power that a factor is raised to. 0: the term's "
        "columns are filled, and the reward does not depend on it.",
    )


@dataclass(frozen=True)
class Term:
    """One term of the reward.

    `compute` is a pure function of the batch and the term's settings: an array for each of `columns`, by
    name. The first column is the term's value. The reward is

        max(0, sum of the gains * product of the factors - penalties), 0 where badly formed

    `source` says where the term comes from. Where several play the same role, the lower `order` comes first,
    then the name. A term that `remembers` reads `Batch.earlier`.
    """

    name: str
    source: str
    role: Role
    columns: tuple[Column, ...]
    compute: Callable[[Batch, Any], Mapping[str, ArrayLike]]
    settings: type[TermSettings] = TermSettings
    order: int = 10
    remembers: bool = False
