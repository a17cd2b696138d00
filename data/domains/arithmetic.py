"""The tiny model's world: chains of small sums such as `37 a+5 b-4`, in its own marks instead of a chat."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from data.domain import Domain, PromptStyle, Truth, plain_text
from data.tiny import arithmetic, ways
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


def is_question(text: str) -> bool:
    """Whether it is a chain, in range or not."""
    return arithmetic.parse(text) is not None


def key(problem: str) -> Hashable:
    """Equal for chains that differ only in the order of their terms."""
    chain = arithmetic.parse(problem)
    return plain_text(problem) if chain is None else chain.key


def habits(completion: str) -> Iterable[tuple[str, bool]]:
    """Of each step that has parts: whether it needs them, being wrong at once, and whether it has them."""
    for value, step, is_in_parts in arithmetic.steps_shown(completion):
        if ways.parts(value, step):
            is_needed = ways.misremembered(value, step) is not None
            yield ("steps in parts, where needed" if is_needed else "steps in parts, elsewhere"), is_in_parts


DOMAIN = Domain(
    challenger=challenger, solver=solver, is_question=is_question, habits=habits, truth=truth, key=key
)
