"""The prompts of both roles, as chat messages and as the text that a model reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.config import BaseModelConfig

Message = dict[str, str]

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

TINY_CHALLENGER = "<|challenger|>"
TINY_SOLVER = "<|solver|>"


def challenger_messages(base_model: BaseModelConfig) -> list[Message]:
    """The Challenger's one fixed prompt (paper, section 2.2) as messages."""
    ask = {"role": "user", "content": CHALLENGER_USER}
    shown: list[Message] = []
    if base_model.prompt_style == "examples":
        for question, _, answer in EXAMPLES:
            written = f"<question>{question}</question>\n\\boxed{{{answer}}}"
            shown += [ask, {"role": "assistant", "content": written}]
    return [{"role": "system", "content": CHALLENGER_SYSTEM}, *shown, ask]


def solver_messages(question: str, base_model: BaseModelConfig) -> list[Message]:
    """The Solver's prompt for a question as messages; the tiny model knows no system message."""
    ask = {"role": "user", "content": question}
    if base_model.prompt_style == "tiny":
        return [ask]
    shown: list[Message] = []
    if base_model.prompt_style == "examples":
        for asked, solution, answer in EXAMPLES:
            written = f"{solution} The answer is \\boxed{{{answer}}}."
            shown += [{"role": "user", "content": asked}, {"role": "assistant", "content": written}]
    return [{"role": "system", "content": SOLVER_SYSTEM}, *shown, ask]


class Prompts:
    """Renders prompts as text for one base model; the tokenizer is only loaded where it is needed."""

    def __init__(self, base_model: BaseModelConfig, model_dir: Path) -> None:
        self._base_model = base_model
        self._style = base_model.prompt_style
        self._model_dir = model_dir
        self._render: Callable[[list[Message]], str] | None = None

    def challenger(self) -> str:
        """The Challenger's prompt, as the model reads it."""
        return TINY_CHALLENGER if self._style == "tiny" else self._chat(challenger_messages(self._base_model))

    def solver(self, question: str) -> str:
        """The Solver's prompt for a question, as the model reads it."""
        if self._style == "tiny":
            return f"{TINY_SOLVER}{question}\n"
        return self._chat(solver_messages(question, self._base_model))

    def _chat(self, messages: list[Message]) -> str:
        if self._render is None:
            self._render = _chat_renderer(self._model_dir)
        return self._render(messages)


def _chat_renderer(model_dir: Path) -> Callable[[list[Message]], str]:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(model_dir, trust_remote_code=False)
    if tokenizer.chat_template is None:
        return lambda messages: "\n".join(f"{m['role']}: {m['content']}" for m in messages) + "\nassistant: "

    def render(messages: list[Message]) -> str:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    return render
