"""Packed micro-batches: each prompt once and no padding, and the same gradients as rows of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.config import GrpoConfig
from infra.trainers.batches import micro_batches
from infra.trainers.packing import ROWS_AT_ONCE, for_packing, pack
from infra.trainers.policy import Policy, load_policy
from infra.trainers.sequences import Sequences
from infra.trainers.update import Learner

CPU = torch.device("cpu")
ROLLOUTS = [
    *(Sequences((2, 3), completion) for completion in ((4, 5, 1), (6,), (2, 2, 2, 2, 2, 1))),
    *(Sequences((4, 5, 6, 7), completion) for completion in ((3, 1), (5, 5, 1), (1,))),
    *(Sequences((7,), completion) for completion in ((2, 6, 2, 4, 1), (3, 1), (6, 6))),
]
ADVANTAGES = [1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 0.3, 0.7, -1.1]


def load(folder: Path, packs: bool = True) -> Policy:
    policy = load_policy(folder, CPU, torch.float32)[0]
    assert policy.packs
    policy.packs = packs
    return policy


def updated(policy: Policy, threads: int = 1, **changes: Any) -> tuple[torch.Tensor, dict[str, float]]:
    """The gradient of the second of two updates, when the policy has left its reference; its metrics."""
    values = {"steps": 1, "prompts_per_step": 3, "group_size": 3, "max_tokens": 8, "kl_coefficient": 0.5}
    config = GrpoConfig.model_validate({"learning_rate": 1e-2, "gradient_clip": 1e9, **values, **changes})
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        learner = Learner(policy, config)
        for _ in range(2):
            metrics = learner.update(ROLLOUTS, ADVANTAGES, 0, "solver, step 1")
    finally:
        torch.set_num_threads(before)
    return torch.cat([p.grad.flatten() for p in policy.parameters.values() if p.grad is not None]), metrics


def test_each_prompt_is_there_once_and_no_padding() -> None:
    tokens, predictors, packing = pack(ROLLOUTS, CPU)
    prompts = [2, 3, 4, 5, 6, 7, 7]
    assert tokens == [*prompts, 4, 5, 2, 2, 2, 2, 2, 3, 5, 5, 2, 6, 2, 4, 3, 6]
    # The end of its prompt predicts the first token of a completion, which then predicts the second.
    assert predictors[:5] == [1, 7, 8, 1, 1]
    assert packing.position_ids[0, :12].tolist() == [0, 1, 0, 1, 2, 3, 0, 2, 3, 2, 3, 4]


@given(
    lengths=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9)), min_size=1, max_size=3 * ROWS_AT_ONCE)
)
def test_every_token_is_asked_for_once_and_sees_its_prompt_and_what_came_before_it(
    lengths: list[tuple[int, int]],
) -> None:
    # Tokens of a prompt are its length, so that prompts of one length are one prompt.
    sequences = [Sequences((prompt,) * prompt, (9,) * completion) for prompt, completion in lengths]
    tokens, _, packing = pack(sequences, CPU)
    asked = torch.cat([rows.queries.flatten() for rows in packing.rows])
    assert asked[packing.answers].tolist() == list(range(len(tokens)))
    seen = torch.cat([rows.visible.sum(-1).flatten() for rows in packing.rows])
    assert seen[packing.answers].tolist() == (packing.position_ids[0] + 1).tolist()


@pytest.mark.parametrize("size", [9, 4, 1])
@pytest.mark.parametrize("shape", [{}, {"num_attention_heads": 4, "num_key_value_heads": 2}])
def test_packed_rollouts_give_the_gradient_and_metrics_of_padded_ones(
    build_model: Callable[..., Path], tmp_path: Path, shape: dict[str, int], size: int
) -> None:
    folder = build_model(tmp_path, num_hidden_layers=2, **shape)
    gradient, metrics = updated(load(folder), micro_batch_size=size)
    plain, of_plain = updated(load(folder, packs=False), micro_batch_size=9)
    torch.testing.assert_close(gradient, plain, rtol=1e-3, atol=1e-5)
    assert metrics == pytest.approx(of_plain, rel=1e-4, abs=1e-6)
    assert metrics["kl"] > 1e-3


def test_threads_share_the_rollouts_of_an_update_and_give_the_same_bytes_twice(model_dir: Path) -> None:
    alone, metrics = updated(load(model_dir))
    together, of_threads = updated(load(model_dir), threads=3, micro_batch_size=4)
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-5)
    assert of_threads == pytest.approx(metrics, rel=1e-4, abs=1e-6)
    for _ in range(5):
        again, of_again = updated(load(model_dir), threads=3, micro_batch_size=4)
        assert torch.equal(again, together)
        assert of_again == of_threads


def test_until_the_first_update_the_policy_is_its_reference(model_dir: Path) -> None:
    policy = load(model_dir)
    learner = Learner(policy, GrpoConfig(steps=1, prompts_per_step=3, group_size=3, max_tokens=8))
    micro = micro_batches(ROLLOUTS, ADVANTAGES, range(9), 9, 0, CPU, packed=True)[0]
    reference = policy.reference()
    now = policy.statistics(micro, 1.0)
    assert torch.equal(policy.statistics(micro, 1.0, reference).log_probs, now.log_probs)
    assert learner._kl(micro, now).tolist() == [0.0] * len(micro.targets)


def test_the_model_that_takes_packed_tokens_has_the_parameters_themselves(model_dir: Path) -> None:
    policy = load(model_dir)
    twin = for_packing(policy.model, CPU)
    assert {id(p) for p in twin.parameters()} == {id(p) for p in policy.model.parameters()}
    # The rollouts are drawn as they were.
    assert policy.model.config._attn_implementation == "eager"


def _random(kind: str, **shape: Any) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, vocab_size=16, max_position_embeddings=32, **sizes, **shape)
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("mistral", {"sliding_window": 3, "num_key_value_heads": 2}),
        ("gemma2", {"num_key_value_heads": 2, "head_dim": 4}),
        ("bloom", {"n_head": 4}),
        ("mamba", {"state_size": 4}),
    ],
    ids=["windows", "capped scores", "biased scores", "a state"],
)
def test_a_model_with_more_than_plain_attention_is_not_packed(kind: str, shape: dict[str, Any]) -> None:
    assert for_packing(_random(kind, **shape), CPU) is None


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("qwen3", {"num_key_value_heads": 2, "head_dim": 4}),
        ("mistral", {"sliding_window": None, "num_key_value_heads": 2}),
        ("gpt2", {}),
    ],
)
def test_models_with_plain_attention_are_packed(kind: str, shape: dict[str, Any]) -> None:
    assert for_packing(_random(kind, **shape), CPU) is not None
