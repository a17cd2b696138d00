"""The prompts of both roles, as the text that a model reads."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from data import domains
from data.config import RunConfig
from data.domain import Prompt
from data.foreign import one_line
from data.resolve import ConfigError
from data.seeds import derive_seed


class Prompts:
    """Renders a domain's prompts for one model; the tokenizer is loaded only where it is needed."""

    def __init__(self, config: RunConfig, model_dir: Path) -> None:
        self._config = config
        self._domain = domains.get(config.domain)
        self._style = config.base_model.prompt_style
        self._model_dir = model_dir

    def challenger(self, seed: int = 0) -> str:
        """The Challenger's prompt, as the model reads it; the seed draws its examples of people, if any."""
        prompt, examples = self._domain.challenger(self._style), self._config.challenger.examples
        if examples is None or isinstance(prompt, str):
            return self._text(prompt)
        *before, ask = prompt
        drawn = [self._domain.proposal(one.question, one.answer) for one in examples.drawn(seed)]
        turns = [turn for proposal in drawn for turn in (ask, {"role": "assistant", "content": proposal})]
        return self._text([*before, *turns, ask])

    def challengers(self, count: int, seed: int) -> list[str]:
        """The prompts of a training that takes so many: one for all, unless each shows other examples."""
        if self._config.challenger.examples is None:
            return [self.challenger()]
        return [self.challenger(derive_seed(seed, "prompt", number)) for number in range(count)]

    def solver(self, question: str) -> str:
        """The Solver's prompt for a question, as the model reads it."""
        return self._text(self._domain.solver(question, self._style))

    def _text(self, prompt: Prompt) -> str:
        if isinstance(prompt, str):
            return prompt
        if self._tokenizer.chat_template is None:
            return "\n".join(f"{m['role']}: {m['content']}" for m in prompt) + "\nassistant: "
        try:
            return str(
                self._tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
            )
        except Exception as error:
            # A template is a program of others; prompts are theirs or nothing.
            raise ConfigError(
                f"base_model.name: the model's chat template fails with a system and a user "
                f"message: {one_line(str(error), 160)}"
            ) from error

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self._model_dir, trust_remote_code=False)
