"""The held-out chains of the tiny model, which are in none of its training text."""

from __future__ import annotations

from data.benchmarks import Problem
from data.config import BaseModelConfig
from data.tiny import arithmetic


def problems(base_model: BaseModelConfig) -> list[Problem]:
    """Held-out chains, shortest first; the group is the number of terms in two digits."""
    recipe = base_model.tiny
    if recipe is None:
        raise ValueError(f"benchmark 'arithmetic' needs the base model 'tiny', not {base_model.name!r}")
    chains = arithmetic.held_out(recipe.solver_terms, recipe.held_out_per_length)
    return [
        Problem(index, f"{1 + len(chain.steps):02d}", chain.question, str(chain.partial_values[-1]))
        for index, chain in enumerate(chains)
    ]
