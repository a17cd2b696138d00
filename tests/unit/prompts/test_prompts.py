"""Prompts of both roles."""

from pathlib import Path

from data.prompts import Prompts, challenger_messages, solver_messages
from data.resolve import resolve


def test_the_tiny_model_reads_its_role_tokens(tmp_path: Path) -> None:
    prompts = Prompts(resolve("a").base_model, tmp_path)
    assert prompts.challenger() == "<|challenger|>"
    assert prompts.solver("3+4") == "<|solver|>3+4\n"


def test_the_challenger_is_told_the_format() -> None:
    system = challenger_messages()[0]["content"]
    assert "<question>" in system
    assert "\\boxed{" in system


def test_the_question_is_what_the_user_says() -> None:
    assert solver_messages("3+4", resolve("a").base_model)[-1] == {"role": "user", "content": "3+4"}
