"""Competition mathematics with boxed LaTeX answers, as in the paper; true answers are not known."""

from __future__ import annotations

from data.domain import Domain, Message, PromptStyle, chat, tagged

# A changed prompt is a changed domain: see Domain on renaming it.
CHALLENGER_SYSTEM = (
    "You set problems for mathematics competitions. Before you write, think in private about which field "
    "to choose and how to make the problem hard but fair: of strong students in their last years of "
    "school, fewer than three in ten should solve it. Any field of mathematics will do. Do not take a "
    "famous problem, a cliché, or one that you have seen before. When your problem is ready, write it in "
    "one block <question>...</question>, and after the block its final answer as \\boxed{...}. Write "
    "nothing else."
)
CHALLENGER_USER = "Write one new, challenging problem now, in exactly this format."
SOLVER_SYSTEM = "Reason step by step. Put your final answer in \\boxed{}."

EXAMPLES = (
    (
        "A box holds 6 rows of 7 eggs, and 5 of the eggs are broken. How many are whole?",
        "There are 6 * 7 = 42 eggs. 42 - 5 = 37 of them are whole.",
        "37",
    ),
    (
        "The sum of two numbers is 20 and their difference is 6. What is the larger number?",
        "Twice the larger number is 20 + 6 = 26, so it is 13.",
        "13",
    ),
    ("What is the remainder when 50 is divided by 8?", "6 * 8 = 48, and 50 - 48 = 2.", "2"),
)
"""Question, solution, answer: shown to models too small to follow an instruction (style `examples`)."""


def challenger(style: PromptStyle) -> list[Message]:
    """The Challenger's one fixed prompt (paper, section 2.2)."""
    proposals = [tagged(asked, answer) for asked, _, answer in EXAMPLES]
    shown = [(CHALLENGER_USER, proposal) for proposal in proposals] if style == "examples" else []
    return chat(CHALLENGER_SYSTEM, CHALLENGER_USER, shown)


def solver(question: str, style: PromptStyle) -> list[Message]:
    """The Solver's prompt for a question."""
    replies = [
        (asked, f"{solution} The answer is \\boxed{{{answer}}}.") for asked, solution, answer in EXAMPLES
    ]
    return chat(SOLVER_SYSTEM, question, replies if style == "examples" else [])


DOMAIN = Domain(challenger=challenger, solver=solver)
