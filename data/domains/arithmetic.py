"""The tiny model's world: chains of small sums such as `37+5-8`, in its own marks instead of a chat."""

from __future__ import annotations

from collections.abc import Hashable

from data.domain import Domain, PromptStyle, Truth, plain_text
from data.tiny import arithmetic
from data.tiny.tokenizer import CHALLENGER, SOLVER


def challenger(style: PromptStyle) -> str:
    """The mark of the Challenger's role alone."""
    return CHALLENGER


def solver(question: str, style: PromptStyle) -> str:
    """The question after the mark of the Solver's role."""
    return f"{SOLVER}{question}\n"


def truth(question: str) -> Truth:
    """Answer, range and length; anything but a chain is out of range."""
    chain = arithmetic.parse(question)
    return Truth(in_range=False) if chain is None else Truth(str(chain.value), chain.in_range, chain.terms)


def key(problem: str) -> Hashable:
    """Equal for chains that differ only in the order of their terms."""
    chain = arithmetic.parse(problem)
    return plain_text(problem) if chain is None else chain.key


DOMAIN = Domain(challenger=challenger, solver=solver, truth=truth, key=key)
