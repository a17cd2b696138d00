"""The Solver's reward: 1 where its answer equals the pseudo-label, else 0 (R-Zero, section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Equivalence(Protocol):
    """Anything that tells which pairs of answers are equal, as `tasks.voting.equivalence.Grader` does."""

    def equivalent(self, pairs: Sequence[tuple[str, str]]) -> list[bool | None]:
        """True or False for each pair, None where it could not be decided."""
        ...


def solver_rewards(
    answers: Sequence[str | None], labels: Sequence[str], grader: Equivalence
) -> NDArray[np.float64]:
    """1.0 where answers[i] equals labels[i], else 0.0; shape (B,).

    No answer (None or blank) earns 0, and so does a comparison that the grader gave up. Raises
    ValueError where the lengths differ or a label is missing.
    """
    if len(answers) != len(labels):
        raise ValueError(f"{len(answers)} answers but {len(labels)} labels")
    for position, label in enumerate(labels):
        if not isinstance(label, str) or not label.strip():
            raise ValueError(
                f"label {position} is empty: a question without a pseudo-label is not trained on"
            )
    rewards = np.zeros(len(answers))
    rows = [row for row, answer in enumerate(answers) if answer is not None and answer.strip()]
    verdicts = grader.equivalent([(answers[row] or "", labels[row]) for row in rows])
    for row, verdict in zip(rows, verdicts, strict=True):
        rewards[row] = 1.0 if verdict else 0.0
    return rewards
