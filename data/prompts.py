"""The prompts of both roles, as the text that a model reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from data import domains
from data.config import RunConfig
from data.domain import Message, Prompt


class Prompts:
    """Renders a domain's prompts for one model; the tokenizer is loaded only where it is needed."""

    def __init__(self, config: RunConfig, model_dir: Path) -> None:
        self._domain = domains.get(config.domain)
        self._style = config.base_model.prompt_style
        self._model_dir = model_dir
        self._render: Callable[[list[Message]], str] | None = None

    def challenger(self) -> str:
        """The Challenger's prompt, as the model reads it."""
        return self._text(self._domain.challenger(self._style))

    def solver(self, question: str) -> str:
        """The Solver's prompt for a question, as the model reads it."""
        return self._text(self._domain.solver(question, self._style))

    def _text(self, prompt: Prompt) -> str:
        if isinstance(prompt, str):
            return prompt
        if self._render is None:
            self._render = _chat_renderer(self._model_dir)
        return self._render(prompt)


def _chat_renderer(model_dir: Path) -> Callable[[list[Message]], str]:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(model_dir, trust_remote_code=False)
    if tokenizer.chat_template is None:
        return lambda messages: "\n".join(f"{m['role']}: {m['content']}" for m in messages) + "\nassistant: "

    def render(messages: list[Message]) -> str:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    return render
