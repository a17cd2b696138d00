"""Vocabulary dropout in a training: what draws, learns and is the reference goes without the same tokens."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from data.config import GrpoConfig
from infra.samplers.decoding.vocabulary import hidden_tokens
from infra.samplers.protocol import VocabularyDropout
from infra.store.tables import parquet_bytes
from infra.trainers.batches import micro_batches
from infra.trainers.policy import Policy, TokenStatistics, _head_statistics, load_policy
from infra.trainers.protocol import TrainingJob, TrainingResult
from infra.trainers.sequences import Sequences
from infra.trainers.update import Learner
from tests.support.folder_checkpoints import FolderCheckpoints

Train = Callable[..., TrainingResult]
MakeJob = Callable[..., TrainingJob]
CPU = torch.device("cpu")
WORDS = ["<pad>", "<eos>", "a", "b", "c", "d", "e", "f"]
DROPOUT = VocabularyDropout(0.4, ("b",), 11)


def _train(train: Train, job: TrainingJob, dropout: VocabularyDropout | None, **more: Any) -> TrainingResult:
    places = FolderCheckpoints(job.output_dir.parent / f"checkpoints of {job.output_dir.name}")
    return train(replace(job, dropout=dropout), places=places, **more)


def _contents(result: TrainingResult) -> dict[str, bytes]:
    files = {path.name: path.read_bytes() for path in result.model_dir.iterdir()}
    return files | {"rollouts": parquet_bytes(result.rollouts), "metrics": parquet_bytes(result.metrics)}


def _load(folder: Path) -> tuple[Policy, Any]:
    from transformers import AutoTokenizer

    return load_policy(folder, CPU, torch.float32)[0], AutoTokenizer.from_pretrained(folder)


def _hidden_in(step: int, folder: Path) -> torch.Tensor:
    policy, tokenizer = _load(folder)
    hidden = hidden_tokens(DROPOUT.at("step", step), policy.model, tokenizer, [1])
    assert hidden is not None
    return hidden


def _rows_of(result: TrainingResult, step: int) -> list[tuple[list[int], list[int]]]:
    """The prompt and the completion of each rollout of a step, as tokens."""
    rows = []
    for row in result.rollouts.to_pylist():
        if row["step"] == step:
            completion = [WORDS.index(word) for word in row["completion"].split()]
            ended = [1] if row["finish_reason"] == "stop" else []
            rows.append(([WORDS.index(word) for word in row["prompt"].split()], [*completion, *ended]))
    return rows


@torch.no_grad()
def _distribution(
    policy: Policy, prompt: list[int], completion: list[int], hidden: torch.Tensor
) -> torch.Tensor:
    """Log-probabilities over the tokens that are left, at each token of a completion, worked out apart."""
    logits = policy.model(torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits[:, ~hidden].double(), dim=-1)


def _column(hidden: torch.Tensor, token: int) -> int:
    """Where a token stands among those that are left."""
    return int((~hidden)[:token].sum())


def test_the_probability_of_a_hidden_token_goes_to_the_others_in_their_proportion() -> None:
    """By hand: of the odds 1, 2, 3, 4 the third is hidden, which leaves 1/7, 2/7 and 4/7."""
    odds = torch.tensor([[1.0, 2.0, 3.0, 4.0]] * 2).log().requires_grad_()
    hidden = torch.tensor([False, False, True, False])
    found: TokenStatistics = _head_statistics(torch.nn.Identity(), odds, torch.tensor([1, 3]), 1.0, hidden)
    torch.testing.assert_close(found.log_probs, torch.tensor([2 / 7, 4 / 7]).log())
    entropy = -(1 / 7 * math.log(1 / 7) + 2 / 7 * math.log(2 / 7) + 4 / 7 * math.log(4 / 7))
    torch.testing.assert_close(found.entropy, torch.tensor([entropy, entropy]))
    found.log_probs.sum().backward()
    # Of the logit z_k the gradient is 1 where k is the token, less its probability; none of it is hidden's.
    expected = [[-1 / 7, 5 / 7, 0.0, -4 / 7], [-1 / 7, -2 / 7, 0.0, 3 / 7]]
    torch.testing.assert_close(odds.grad, torch.tensor(expected))
    assert odds.grad is not None
    assert odds.grad[:, 2].tolist() == [0.0, 0.0]


def test_the_temperature_is_applied_to_what_is_left() -> None:
    """By hand: at a temperature of 1/2 the odds 1, 2, 4 become 1, 4, 16, of 21."""
    odds = torch.tensor([[1.0, 2.0, 3.0, 4.0]]).log()
    hidden = torch.tensor([False, False, True, False])
    found = _head_statistics(torch.nn.Identity(), odds, torch.tensor([1]), 0.5, hidden)
    torch.testing.assert_close(found.log_probs, torch.tensor([4 / 21]).log())


def test_no_step_draws_what_it_goes_without_and_each_step_goes_without_other_tokens(
    train: Train, make_job: MakeJob, model_dir: Path
) -> None:
    result = _train(train, make_job(steps=6), DROPOUT)
    masks = [_hidden_in(step, model_dir) for step in range(1, 7)]
    for step, hidden in enumerate(masks, 1):
        drawn = {token for _, completion in _rows_of(result, step) for token in completion}
        assert drawn
        assert not drawn & set(hidden.nonzero()[:, 0].tolist())
        # The word that is spared, and the end.
        assert not hidden[[1, 3]].any()
    assert len({tuple(hidden.tolist()) for hidden in masks}) > 3
    assert all(math.isfinite(value) for row in result.metrics.to_pylist() for value in row.values())


def test_a_step_learns_from_the_distribution_that_drew_and_is_held_against_the_reference_under_it(
    train: Train, make_job: MakeJob, model_dir: Path
) -> None:
    """The second step's KL and entropy, worked out from its rollouts and the weights before it."""
    settings = {"learning_rate": 3e-2, "kl_coefficient": 0.1}
    before = _train(train, make_job("one", steps=1, **settings), DROPOUT)
    result = _train(train, make_job("two", steps=2, **settings), DROPOUT)
    assert result.metrics.to_pylist()[0] == before.metrics.to_pylist()[0]
    hidden = _hidden_in(2, model_dir)
    assert hidden.any()
    (policy, _), (reference, _) = _load(before.model_dir), _load(model_dir)
    kl, entropy, tokens = 0.0, 0.0, 0
    for prompt, completion in _rows_of(result, 2):
        now = _distribution(policy, prompt, completion, hidden)
        anchor = _distribution(reference, prompt, completion, hidden)
        for place, token in enumerate(completion):
            column = _column(hidden, token)
            ratio = float(anchor[place, column] - now[place, column])
            kl += math.exp(ratio) - ratio - 1.0
        entropy -= float((now.exp() * now).sum())
        tokens += len(completion)
    first, second = result.metrics.to_pylist()
    assert first["kl"] == 0.0
    assert kl / tokens > 1e-4
    assert second["kl"] == pytest.approx(kl / tokens, rel=1e-3)
    assert second["entropy"] == pytest.approx(entropy / tokens, rel=1e-4)


def test_the_policy_that_drew_goes_without_the_same_tokens_as_the_one_that_learns(model_dir: Path) -> None:
    """Two updates that change nothing: every ratio is 1, so the loss is minus the mean advantage."""
    hidden = torch.tensor([False] * 5 + [True] * 3)
    sequences = [
        Sequences((2, 3), (4, 3, 1)),
        Sequences((2, 3), (2,)),
        Sequences((4,), (2, 2)),
        Sequences((4,), (1,)),
    ]
    config = GrpoConfig(
        **{"steps": 1, "prompts_per_step": 2, "group_size": 2, "max_tokens": 8, "updates_per_step": 2},
        **{"learning_rate": 1e-30, "weight_decay": 0.0, "clip_low": 0.0, "clip_high": 0.0},
    )
    found = Learner(_load(model_dir)[0], config).update(sequences, [1.0, -2.0, 0.5, -1.0], 0, "here", hidden)
    # Three tokens of 1 and one of -2, then two of 1/2 and one of -1.
    assert found["policy_loss"] == pytest.approx(-((3 - 2) / 4 + (1 - 1) / 3) / 2)
    assert (found["clip_share"], found["kl"]) == (0.0, 0.0)


def test_pieces_of_the_head_see_the_mask_too(model_dir: Path) -> None:
    policy, hidden = _load(model_dir)[0], torch.tensor([False] * 5 + [True] * 3)
    sequences = [Sequences((2, 3), (4, 3, 1)), Sequences((4,), (2, 2))]
    (micro,) = micro_batches(sequences, [1.0, 1.0], range(2), 2, 0, CPU, hidden)
    whole = policy.statistics(micro, 1.0)
    policy.logits_at_once = 16
    pieces = policy.statistics(micro, 1.0)
    torch.testing.assert_close(pieces.log_probs, whole.log_probs)
    pieces.log_probs.sum().backward()
    assert all(
        torch.isfinite(value.grad).all() for value in policy.parameters.values() if value.grad is not None
    )


def test_a_share_of_0_gives_the_bytes_of_a_training_without(train: Train, make_job: MakeJob) -> None:
    settings = {"steps": 3, "updates_per_step": 2, "learning_rate": 3e-2}
    plain = _train(train, make_job("plain", **settings), None)
    nothing = _train(train, make_job("nothing", **settings), VocabularyDropout(0.0, (), 11))
    some = _train(train, make_job("some", **settings), DROPOUT)
    assert _contents(nothing) == _contents(plain)
    assert _contents(some) != _contents(plain)


@pytest.mark.parametrize("stopped_at", [2, 4])
def test_a_training_under_dropout_resumes_to_the_same_bytes(
    train: Train, make_job: MakeJob, stopped_at: int
) -> None:
    settings = {"steps": 6, "updates_per_step": 2, "checkpoint_every_steps": 2, "learning_rate": 3e-2}
    whole = _train(train, make_job("whole", **settings), DROPOUT)

    def stop(step: int, metrics: object) -> None:
        if step == stopped_at:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        _train(train, make_job("again", **settings), DROPOUT, report=stop)
    again = _train(train, make_job("again", **settings), DROPOUT)
    assert again.resumed_from_step == stopped_at
    assert _contents(again) == _contents(whole)


def test_what_a_training_goes_without_is_in_its_fingerprint(make_job: MakeJob) -> None:
    job = make_job()
    others = [DROPOUT, replace(DROPOUT, share=0.1), replace(DROPOUT, spared=()), replace(DROPOUT, seed=1)]
    assert len({replace(job, dropout=each).fingerprint for each in (None, *others)}) == 5
    assert replace(job, dropout=None).fingerprint == job.fingerprint
