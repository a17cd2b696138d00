"""Prompts of both roles."""

from pathlib import Path

from data.config import BaseModelConfig
from data.prompts import EXAMPLES, Prompts, challenger_messages, solver_messages
from data.resolve import resolve
from tasks.voting.extraction import proposal, solver_answer


def test_the_tiny_model_reads_its_role_tokens(tmp_path: Path) -> None:
    prompts = Prompts(resolve("a").base_model, tmp_path)
    assert prompts.challenger() == "<|challenger|>"
    assert prompts.solver("3+4") == "<|solver|>3+4\n"


def test_the_challenger_is_told_the_format() -> None:
    system = challenger_messages(BaseModelConfig(name="some/model"))[0]["content"]
    assert "<question>" in system
    assert "\\boxed{" in system


def test_the_question_is_what_the_user_says() -> None:
    assert solver_messages("3+4", resolve("a").base_model)[-1] == {"role": "user", "content": "3+4"}


def test_what_is_shown_as_an_example_is_well_formed_and_right() -> None:
    model = BaseModelConfig(name="some/model", prompt_style="examples")
    written = [m["content"] for m in challenger_messages(model) if m["role"] == "assistant"]
    assert [proposal(text) for text in written] == [(asked, answer, None) for asked, _, answer in EXAMPLES]
    solved = [m["content"] for m in solver_messages("What is 3+4?", model) if m["role"] == "assistant"]
    assert [solver_answer(text)[0] for text in solved] == [answer for _, _, answer in EXAMPLES]
    assert solver_messages("What is 3+4?", model)[-1] == {"role": "user", "content": "What is 3+4?"}
