"""Mini-batches, micro-batches and the log-probabilities that are computed on them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.config import GrpoConfig
from infra.trainers import policy as policy_module
from infra.trainers.batches import micro_batches, mini_batches
from infra.trainers.grpo import group_advantages
from infra.trainers.policy import Policy, load_policy
from infra.trainers.sequences import Sequences
from infra.trainers.update import Learner

CPU = torch.device("cpu")
SEQUENCES = [
    Sequences((2, 3), (4, 5, 1)),
    Sequences((2, 3), (6,)),
    Sequences((7,), (2, 2, 2, 2, 2)),
    Sequences((7,), (3, 1)),
    Sequences((4, 5, 6, 7), (5, 5, 1)),
    Sequences((4, 5, 6, 7), (1,)),
]
ADVANTAGES = [1.0, -1.0, 0.5, -0.5, 2.0, -2.0]


def load(folder: Path, dtype: torch.dtype = torch.float32) -> Policy:
    return load_policy(folder, CPU, dtype)[0]


def config(**changes: object) -> GrpoConfig:
    values = {"steps": 1, "prompts_per_step": 3, "group_size": 2, "max_tokens": 8, "micro_batch_size": 6}
    return GrpoConfig.model_validate({**values, **changes})


@given(groups=st.integers(1, 60), size=st.integers(1, 9), data=st.data())
def test_mini_batches_hold_every_rollout_once_in_whole_groups_of_like_number(
    groups: int, size: int, data: st.DataObject
) -> None:
    updates = data.draw(st.integers(1, groups))
    parts = mini_batches(groups, size, updates)
    assert [number for part in parts for number in part] == list(range(groups * size))
    assert len(parts) == updates
    assert all(len(part) % size == 0 and part for part in parts)
    assert max(map(len, parts)) - min(map(len, parts)) <= size


def test_micro_batches_take_rollouts_by_length_and_only_completion_tokens() -> None:
    micros = micro_batches(SEQUENCES, ADVANTAGES, range(6), 4, 0, CPU)
    assert [list(micro.input_ids.shape) for micro in micros] == [[4, 4], [2, 6]]
    packed = sorted(token for micro in micros for token in micro.targets.tolist())
    assert packed == sorted(token for sequence in SEQUENCES for token in sequence.completion)
    assert micros[1].input_ids.tolist() == [[7, 2, 2, 2, 2, 0], [4, 5, 6, 7, 5, 5]]
    assert micros[1].positions.tolist() == [0, 1, 2, 3, 4, 9, 10, 11]
    assert micros[1].advantages.tolist() == [0.5] * 5 + [2.0] * 3


def test_log_probabilities_equal_those_of_each_rollout_alone(model_dir: Path) -> None:
    policy = load(model_dir)
    micro = micro_batches(SEQUENCES, ADVANTAGES, range(6), 6, 0, CPU)[0]
    with torch.no_grad():
        together = policy.statistics(micro, temperature=0.7)
    alone, entropies = [], []
    for sequence in sorted(SEQUENCES, key=lambda s: len(s.prompt) + len(s.completion)):
        ids = torch.tensor([[*sequence.prompt, *sequence.completion]])
        with torch.no_grad():
            logits = policy.model(ids).logits[0, len(sequence.prompt) - 1 : -1] / 0.7
        distribution = torch.distributions.Categorical(logits=logits)
        alone.append(distribution.log_prob(torch.tensor(sequence.completion)))
        entropies.append(distribution.entropy())
    torch.testing.assert_close(together.log_probs, torch.cat(alone))
    torch.testing.assert_close(together.entropy, torch.cat(entropies))


def updated_weights(
    folder: Path, logits_at_once: int = Policy.logits_at_once, **changes: object
) -> list[torch.Tensor]:
    policy = load(folder)
    policy.logits_at_once = logits_at_once
    learner = Learner(policy, config(learning_rate=1e-2, **changes))
    learner.update(SEQUENCES, ADVANTAGES, 0, "solver, step 1")
    return [parameter.detach() for parameter in policy.parameters.values()]


@pytest.mark.parametrize("size", [1, 2, 4])
def test_gradient_accumulation_gives_the_update_of_one_pass(model_dir: Path, size: int) -> None:
    whole = updated_weights(model_dir, micro_batch_size=6)
    for one, other in zip(whole, updated_weights(model_dir, micro_batch_size=size), strict=True):
        # AdamW's first step is the sign of the gradient, so rounding shows only where that is almost zero.
        assert (one - other).abs().median() < 1e-6


def test_the_gradient_is_that_of_the_token_mean_over_the_mini_batch(model_dir: Path) -> None:
    def gradient(size: int) -> torch.Tensor:
        policy = load(model_dir)
        learner = Learner(policy, config(micro_batch_size=size, gradient_clip=1e9))
        learner.update(SEQUENCES, ADVANTAGES, 0, "solver, step 1")
        return torch.cat([p.grad.flatten() for p in policy.parameters.values() if p.grad is not None])

    policy = load(model_dir)
    losses, tokens = [], 0
    for sequence, advantage in zip(SEQUENCES, ADVANTAGES, strict=True):
        ids = torch.tensor([[*sequence.prompt, *sequence.completion]])
        logits = policy.model(ids).logits[0, len(sequence.prompt) - 1 : -1]
        chosen = logits.log_softmax(-1)[range(len(sequence.completion)), list(sequence.completion)]
        losses.append(-advantage * (chosen - chosen.detach()).exp().sum())
        tokens += len(sequence.completion)
    (torch.stack(losses).sum() / tokens).backward()
    expected = torch.cat([p.grad.flatten() for p in policy.parameters.values() if p.grad is not None])
    torch.testing.assert_close(gradient(6), expected, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(gradient(2), expected, rtol=1e-4, atol=1e-7)


def test_a_head_in_recomputed_pieces_gives_the_same_gradient(model_dir: Path) -> None:
    whole = updated_weights(model_dir)
    for one, other in zip(whole, updated_weights(model_dir, logits_at_once=4 * 8), strict=True):
        assert (one - other).abs().median() < 1e-6


def test_a_model_that_scales_its_logits_goes_the_way_through_the_whole_model(model_dir: Path) -> None:
    micro = micro_batches(SEQUENCES, ADVANTAGES, range(6), 6, 0, CPU)[0]
    policy = load(model_dir)
    plain = policy.statistics(micro, 1.0).log_probs
    policy._head_is_plain = False
    torch.testing.assert_close(policy.statistics(micro, 1.0).log_probs, plain)

    forward = policy.model.forward

    def scaled(*args: object, **kwargs: object) -> object:
        output = forward(*args, **kwargs)
        output.logits = output.logits * 3
        return output

    policy.model.forward = scaled
    assert not policy_module._head_is_plain(policy.model, CPU)


def test_the_reference_stays_and_computes_what_the_policy_did(model_dir: Path) -> None:
    micro = micro_batches(SEQUENCES, ADVANTAGES, range(6), 6, 0, CPU)[0]
    for dtype in (torch.float32, torch.bfloat16):
        policy = load(model_dir, dtype)
        reference = policy.reference()
        before = policy.statistics(micro, 1.0).log_probs
        assert torch.equal(policy.statistics(micro, 1.0, reference).log_probs, before)
        Learner(policy, config(learning_rate=1e-1)).update(SEQUENCES, ADVANTAGES, 0, "solver, step 1")
        assert torch.equal(policy.statistics(micro, 1.0, reference).log_probs, before)
        assert not torch.equal(policy.statistics(micro, 1.0).log_probs, before)


def test_bfloat16_draws_from_a_copy_that_follows_the_master_weights(model_dir: Path) -> None:
    policy = load(model_dir, torch.bfloat16)
    with torch.no_grad():
        for parameter in policy.parameters.values():
            parameter.mul_(1.5)
    drawn_from = policy.for_rollouts()
    assert drawn_from.dtype == torch.bfloat16
    assert policy.model.dtype == torch.float32
    for copy, master in zip(drawn_from.parameters(), policy.parameters.values(), strict=True):
        assert torch.equal(copy, master.to(torch.bfloat16))


def test_equal_rewards_leave_no_advantage_whatever_their_value() -> None:
    rewards = torch.full((5,), 0.1, dtype=torch.float64)
    advantages = group_advantages(rewards, torch.zeros(5, dtype=torch.int64), divide_by_std=True)
    assert advantages.abs().max() < 1e-9
