"""What ends a completion: the end of a text, and the end of a turn in the tokenizer's chat template."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from data.backends import LocalTrainerConfig, TransformersSamplerConfig
from data.config import GrpoConfig
from data.tiny.tokenizer import build_tokenizer
from infra.samplers import SamplingParams, open_sampler
from infra.samplers.protocol import Completion
from infra.samplers.texts import end_tokens, turn_end
from infra.trainers import open_trainer
from infra.trainers.protocol import Rollout, ScoredRollout, TrainingJob
from tests.support.chat_tokenizers import (
    CHATML,
    LLAMA,
    LLAMA_TOKENS,
    QWEN_TOKENS,
    chat_tokenizer,
    write_base_model,
)
from tests.support.folder_checkpoints import FolderCheckpoints

_SAID = "{{ messages[-1]['content'] }}"
_NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system message') }}{% endif %}"


@pytest.mark.parametrize(
    ("template", "special", "expected"),
    [
        (CHATML, QWEN_TOKENS, "<|im_end|>"),
        (LLAMA, LLAMA_TOKENS, "<|eot_id|>"),
        (f"{_SAID}<|im_end|>", QWEN_TOKENS, "<|im_end|>"),
        (f"{_SAID} <|im_end|>\n", QWEN_TOKENS, "<|im_end|>"),
        (f"{_SAID}\n<|im_end|>", QWEN_TOKENS, "<|im_end|>"),
        (f"{_SAID}{{{{ eos_token }}}}", QWEN_TOKENS, "<|endoftext|>"),
        (f"{_NO_SYSTEM}{_SAID}<|im_end|>", QWEN_TOKENS, "<|im_end|>"),
        # The longest of those that fit, as the tokenizer reads it.
        (f"{_SAID}<|im_end|>", ("</s>", "<|im", "<|im_end|>"), "<|im_end|>"),
    ],
)
def test_the_token_that_the_template_writes_after_the_assistants_words_ends_a_completion(
    template: str, special: tuple[str, ...], expected: str, tmp_path: Path
) -> None:
    tokenizer = chat_tokenizer(template, special, bos_token=special[1])
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    ids = set(loaded.convert_tokens_to_ids([special[0], expected]))
    assert turn_end(loaded) == loaded.convert_tokens_to_ids(expected)
    assert end_tokens(tmp_path, loaded) == ids


@pytest.mark.parametrize(
    "template",
    [
        None,
        _SAID,
        # The words of a user stand between.
        f"{_SAID}\nuser: go on<|im_end|>",
        # Not one token of this tokenizer.
        f"{_SAID}<|turn_end|>",
        # A token, but an ordinary word, also within the answer itself.
        f"{_SAID}END",
        # What is said is not there as it was said.
        "{{ messages[-1]['content'] | upper }}<|im_end|>",
        "{{ messages[0]['content'] }}<|im_end|>",
        "{{ raise_exception('not today') }}",
        "{{ messages[",
    ],
)
def test_nothing_else_is_taken_for_the_end_of_a_turn(template: str | None, tmp_path: Path) -> None:
    tokenizer = chat_tokenizer(template, added=["END"])
    assert len(tokenizer("END")["input_ids"]) == 1
    assert turn_end(tokenizer) is None
    assert end_tokens(tmp_path, tokenizer) == {tokenizer.eos_token_id}


def test_the_tiny_models_completions_end_where_they_always_did(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    assert end_tokens(tmp_path, tokenizer) == {tokenizer.eos_token_id} == {1}


def test_a_model_that_names_the_end_of_its_turns_itself_ends_where_it_always_did(tmp_path: Path) -> None:
    # As SmolLM2-135M-Instruct.
    tokenizer = chat_tokenizer(CHATML, ("<|im_end|>", "<|im_start|>"))
    assert end_tokens(tmp_path, tokenizer) == {tokenizer.eos_token_id}


@pytest.fixture(scope="module")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "model"
    return write_base_model(folder, chat_tokenizer(CHATML), likely="<|im_end|>")


def _check(completions: Sequence[Completion], limit: int) -> None:
    text_end, turn = chat_tokenizer(CHATML).convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    for one in completions:
        assert not {text_end, turn}.intersection(one.token_ids[:-1])
        ended = one.token_ids[-1] in (text_end, turn)
        assert one.finish_reason == ("stop" if ended else "length")
        assert ended or len(one.token_ids) == limit
        assert "<|im_end|>" not in one.text
    assert sum(one.token_ids[-1] == turn for one in completions) > len(completions) / 2


def test_a_sampler_stops_at_the_end_of_a_turn_and_does_not_show_it(base_model: Path) -> None:
    with open_sampler(TransformersSamplerConfig(device="cpu"), base_model) as sampler:
        (group,) = sampler.sample(["a"], SamplingParams(max_tokens=30, samples=50), [4])
    _check(group, 30)


def test_so_do_the_rollouts_of_a_training(base_model: Path, tmp_path: Path) -> None:
    config = GrpoConfig(steps=1, prompts_per_step=4, group_size=8, max_tokens=30)
    seen: list[Rollout] = []

    def reward(rollouts: Any) -> list[ScoredRollout]:
        seen.extend(rollouts)
        return [ScoredRollout(0.0) for _ in rollouts]

    job = TrainingJob("solver", base_model, ["a", "b"], config, 1, tmp_path / "out")
    open_trainer(LocalTrainerConfig(device="cpu")).train(
        job, reward, FolderCheckpoints(tmp_path / "checkpoints"), lambda *_: None
    )
    assert len(seen) == 32
    _check([rollout.completion for rollout in seen], 30)
