"""How much the Solver learns from a question, by how sure its label is: the p_hat of its vote.

Agent0's ADPO (arXiv 2511.16043, section 3.3) asks for a weight of the advantages that rises with p_hat, and
for an upper clip that falls with it; it leaves open which. Here a power of p_hat, and a straight line around
the clip that is configured.
"""

from __future__ import annotations

from collections.abc import Sequence

from data.config import SolverConfig
from infra.trainers.emphasis import Emphasis


def label_weights(p_hat: Sequence[float], trust: float) -> list[float]:
    """p_hat ** trust of each question, the factor of its advantages: 1 where `trust` is 0."""
    return [share**trust for share in p_hat]


def upper_clips(p_hat: Sequence[float], clip_high: float, ambiguity: float) -> list[float]:
    """clip_high * (1 + ambiguity * (1 - 2 p_hat)) of each question: `clip_high` itself at p_hat = 1/2."""
    return [clip_high * (1.0 + ambiguity * (1.0 - 2.0 * share)) for share in p_hat]


def emphasis_of(config: SolverConfig, p_hat: Sequence[float]) -> Emphasis:
    """What the Solver's training dwells on, from the vote on each question of its curriculum."""
    return Emphasis(
        weights=label_weights(p_hat, config.label_trust) if config.label_trust else (),
        clip_highs=upper_clips(p_hat, config.clip_high, config.clip_ambiguity)
        if config.clip_ambiguity
        else (),
        drop_flat_groups=config.drop_flat_groups,
    )
