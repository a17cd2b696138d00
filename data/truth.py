"""What can be known of a question without a model: for watching a run, never for training."""

from __future__ import annotations

from dataclasses import dataclass

from data.config import BaseModelConfig


@dataclass(frozen=True, slots=True)
class Truth:
    """The true answer, whether the question lies in the base's domain, its length; None: not known."""

    answer: str | None = None
    in_range: bool | None = None
    terms: int | None = None


def truth_of(question: str | None, base_model: BaseModelConfig) -> Truth:
    """What is known of a question: for the tiny model's arithmetic everything, for others nothing yet."""
    if question is None or base_model.tiny is None:
        return Truth()
    from data.tiny import arithmetic

    # What is no chain lies outside the domain as well.
    in_range = arithmetic.in_range(question) or False
    return Truth(arithmetic.truth(question), in_range, arithmetic.terms(question))
