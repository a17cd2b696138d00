"""Prompts of both roles."""

import hashlib
import json
from pathlib import Path

import pytest

from data import domains
from data.domain import Message
from data.domains.mathematics import EXAMPLES, challenger, solver
from data.prompts import Prompts
from data.resolve import resolve, yaml_names
from tasks.voting.extraction import proposal, solver_answer


def test_the_tiny_model_reads_its_role_tokens(tmp_path: Path) -> None:
    prompts = Prompts(resolve("a"), tmp_path)
    assert prompts.challenger() == "<|challenger|>"
    assert prompts.solver("3+4") == "<|solver|>3+4\n"


def test_the_challenger_is_told_the_format() -> None:
    system = challenger("chat")[0]["content"]
    assert "<question>" in system
    assert "\\boxed{" in system


@pytest.mark.parametrize("domain", domains.names())
def test_the_question_is_what_the_user_says(domain: str) -> None:
    messages = domains.get(domain).solver_messages("3+4", "chat")
    assert messages[-1] == {"role": "user", "content": "3+4"}


def test_the_curriculum_of_a_domain_without_messages_holds_the_question_alone() -> None:
    assert len(domains.get("arithmetic").solver_messages("3+4", "chat")) == 1


def test_what_is_shown_as_an_example_is_well_formed_and_right() -> None:
    written = [m["content"] for m in challenger("examples") if m["role"] == "assistant"]
    assert [proposal(text) for text in written] == [(asked, answer, None) for asked, _, answer in EXAMPLES]
    solved = [m["content"] for m in solver("What is 3+4?", "examples") if m["role"] == "assistant"]
    assert [solver_answer(text)[0] for text in solved] == [answer for _, _, answer in EXAMPLES]
    assert solver("What is 3+4?", "examples")[-1] == {"role": "user", "content": "What is 3+4?"}


def test_the_words_of_the_prompts_are_those_that_results_rest_on() -> None:
    found = {
        style: (_sha256(challenger(style)), _sha256(solver("What is 3+4?", style)))
        for style in ("chat", "examples")
    }
    assert found == {
        "chat": (
            "53a9db95e6e49565fc2f6b4146b10428ce78b38a1e4100264aceb98c30d205bd",
            "5e5e364d29a32ae785728d3479d478cbcb20b07eb8616953b1df8d5bcf8a0eb0",
        ),
        "examples": (
            "b2223283fe45fb7b5e4df2873d406d6419ee4c8c3533bfd68a00ee13f45c7363",
            "acbd40c993936aa181776ae9e672f23920148033facb46ba00437b0218bbf5f3",
        ),
    }


def test_every_preset_but_the_tiny_one_is_about_mathematics() -> None:
    found = {name: resolve("a", name).domain for name in yaml_names("data.presets")}
    assert found.pop("tiny") == "arithmetic"
    assert set(found.values()) == {"mathematics"}


def _sha256(messages: list[Message]) -> str:
    return hashlib.sha256(json.dumps(messages).encode()).hexdigest()
