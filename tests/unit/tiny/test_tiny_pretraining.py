"""Pre-training writes a loadable model, the same for the same seed, from text without held-out questions."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data.benchmarks import load
from data.config import BaseModelConfig
from data.tiny.arithmetic import (
    ANY_START,
    NO_ANSWER,
    STARTS,
    Chain,
    geometric_lengths,
    held_out,
    parse,
    unseen_chain,
)
from data.tiny.muon import orthogonalise
from data.tiny.pretrain import Texts, learning_rate_factor, pretrain
from data.tiny.settings import TinyModelConfig
from data.tiny.tokenizer import CHALLENGER, SOLVER, vocabulary

SHORT = TinyModelConfig(training_steps=6, batch_size=16, solver_terms=6)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Mapping[str, float]]]:
    folder, metrics = tmp_path_factory.mktemp("tiny") / "model", []
    pretrain(SHORT, 0, folder, 1, lambda step, row: metrics.append({"step": step, **row}))
    return folder, metrics


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_the_directory_holds_a_plain_hugging_face_model(trained: tuple[Path, list[object]]) -> None:
    folder, _ = trained
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not any(name.endswith((".bin", ".py", ".pt", ".pkl")) for name in names)
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert "auto_map" not in config


def test_the_model_has_a_row_for_each_token_and_ends_at_its_end_token(
    trained: tuple[Path, list[object]],
) -> None:
    model = AutoModelForCausalLM.from_pretrained(trained[0])
    tokenizer = AutoTokenizer.from_pretrained(trained[0])
    assert model.config.vocab_size == len(tokenizer) == len(vocabulary())
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id
    prompt = tokenizer(f"{SOLVER}37 +5\n", return_tensors="pt", add_special_tokens=False)
    out = model.generate(**prompt, max_new_tokens=3, do_sample=False)
    assert out.shape[1] > prompt["input_ids"].shape[1]


def test_each_step_is_reported_and_the_loss_falls(
    trained: tuple[Path, list[Mapping[str, float]]],
) -> None:
    _, metrics = trained
    assert [row["step"] for row in metrics] == list(range(1, 7))
    assert metrics[-1]["loss"] < metrics[0]["loss"]


def test_the_same_seed_gives_the_same_bytes_whatever_the_global_generator_holds(
    trained: tuple[Path, list[object]], tmp_path: Path
) -> None:
    torch.manual_seed(99)
    random.seed(99)
    pretrain(SHORT, 0, tmp_path / "again", 1, lambda step, row: None)
    assert digests(tmp_path / "again") == digests(trained[0])


def test_another_seed_gives_another_model(trained: tuple[Path, list[object]], tmp_path: Path) -> None:
    one_step = SHORT.model_copy(update={"training_steps": 1})
    for seed in (0, 1):
        pretrain(one_step, seed, tmp_path / str(seed), 1, lambda step, row: None)
    first, second = digests(tmp_path / "0"), digests(tmp_path / "1")
    assert first["model.safetensors"] != second["model.safetensors"]
    assert first["tokenizer.json"] == second["tokenizer.json"]


@pytest.mark.parametrize("seed", [0, 1])
def test_no_text_shows_a_held_out_question_in_any_order_of_its_steps(seed: int) -> None:
    """Two and three terms are where chance would hit a held-out chain often; many are held out here."""
    config = TinyModelConfig(solver_terms=3, held_out_per_length=300, challenger_share=0.3)
    forbidden = {chain.key for chain in held_out(3, 300)}
    reordered = {Chain(c.start, tuple(reversed(c.steps))).question for c in held_out(3, 300)}
    texts = Texts(config, seed)
    roles = set()
    for _ in range(5000):
        prompt, completion = texts.next()
        roles.add(prompt if prompt == CHALLENGER else SOLVER)
        (question,) = re.findall(r"<question>(.*)</question>|<\|solver\|>(.*)\n", prompt + completion)
        chain = parse("".join(question))
        if chain is None:
            assert completion.startswith(NO_ANSWER)
            continue
        assert chain.key not in forbidden
        assert chain.question not in reordered
    assert roles == {CHALLENGER, SOLVER}


def test_the_solver_reads_chains_that_drift_anywhere_and_the_challenger_writes_none_of_them() -> None:
    texts, starts = Texts(TinyModelConfig(straying_share=0.0), seed=0), {CHALLENGER: set(), SOLVER: set()}
    for _ in range(5000):
        prompt, completion = texts.next()
        (question,) = re.findall(r"<question>(.*)</question>|<\|solver\|>(.*)\n", prompt + completion)
        chain = parse("".join(question))
        assert chain is not None
        starts[CHALLENGER if prompt == CHALLENGER else SOLVER].add(chain.start)
    assert starts[CHALLENGER] == set(STARTS)
    assert starts[SOLVER] == set(ANY_START)


def test_chance_alone_would_show_held_out_questions_reordered() -> None:
    """The test above can fail: without the exclusion, reorderings of held-out chains do come up."""
    rng = random.Random(0)
    forbidden = {chain.key for chain in held_out(3, 300)}
    shown = [unseen_chain(rng, geometric_lengths(3, 0.95), ()) for _ in range(5000)]
    exact = {chain.question for chain in held_out(3, 300)}
    assert any(chain.key in forbidden and chain.question not in exact for chain in shown)


def test_the_benchmark_is_the_held_out_set_with_its_lengths_as_groups() -> None:
    recipe = TinyModelConfig(solver_terms=4, held_out_per_length=5)
    problems = load("arithmetic", BaseModelConfig(name="tiny", tiny=recipe))
    assert [problem.problem for problem in problems] == [chain.question for chain in held_out(4, 5)]
    assert [problem.group for problem in problems] == ["02"] * 5 + ["03"] * 5 + ["04"] * 5
    assert [problem.problem_id for problem in problems] == list(range(15))
    assert all(problem.gold == str(parse(problem.problem).partial_values[-1]) for problem in problems)  # type: ignore[union-attr]


def test_an_unknown_benchmark_is_one_clear_line() -> None:
    tiny = BaseModelConfig(name="tiny", tiny=TinyModelConfig())
    with pytest.raises(ValueError, match=r"^unknown benchmark 'arithmetics': known are .*arithmetic.*$"):
        load("arithmetics", tiny)


def test_another_base_model_is_measured_on_the_chains_of_the_default_recipe() -> None:
    tiny = BaseModelConfig(name="tiny", tiny=TinyModelConfig())
    assert load("arithmetic", BaseModelConfig(name="org/m")) == load("arithmetic", tiny)


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 32, 16), (2, 16, 48)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrices, iterations=8))
    assert 0.6 < float(values.min()) <= float(values.max()) < 1.3


def test_the_learning_rate_warms_up_stays_and_decays() -> None:
    factors = [learning_rate_factor(step, 1000) for step in range(1, 1001)]
    assert factors[0] < 0.1
    assert factors[100] == factors[500] == 1
    assert factors[-1] == pytest.approx(0.02)
    assert max(factors) == 1
