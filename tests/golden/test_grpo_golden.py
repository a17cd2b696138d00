"""The objective gives the numbers of verl's core_algos (see make_grpo_golden.py), to 1e-6."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from infra.trainers.grpo import group_advantages, low_variance_kl, policy_loss

GOLDEN = json.loads(Path(__file__).with_name("grpo_golden.json").read_text())


def cases(kind: str) -> Any:
    """One test for each case, named after it."""
    return pytest.mark.parametrize(
        "case", GOLDEN[kind], ids=[f"{number}: {case['name']}" for number, case in enumerate(GOLDEN[kind])]
    )


def assert_close(actual: torch.Tensor, expected: object) -> None:
    torch.testing.assert_close(actual, torch.tensor(expected), rtol=1e-6, atol=1e-6)


def token_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """verl's "token-mean": long completions count by their length."""
    return (values * mask).sum() / mask.sum()


@cases("advantages")
def test_the_group_advantage_equals_that_of_verl(case: dict[str, Any]) -> None:
    rewards, groups = torch.tensor(case["rewards"]), torch.tensor(case["groups"])
    assert_close(group_advantages(rewards, groups, case["divide_by_std"]), case["expected"])


@cases("losses")
def test_the_policy_loss_its_gradient_and_its_clip_share_equal_those_of_verl(case: dict[str, Any]) -> None:
    now = torch.tensor(case["log_probs"], requires_grad=True)
    mask = torch.tensor(case["mask"], dtype=torch.float32)
    terms = policy_loss(
        now,
        torch.tensor(case["old_log_probs"]),
        torch.tensor(case["advantages"]),
        case["clip_low"],
        case["clip_high"],
        case["clip_dual"],
    )
    loss = token_mean(terms.loss, mask)
    loss.backward()
    assert_close(loss.detach(), case["loss"])
    assert_close(now.grad, case["gradient"])
    assert_close(token_mean(terms.clipped.float(), mask), case["clip_share"])


@cases("kls")
def test_the_low_variance_kl_its_mean_and_its_gradient_equal_those_of_verl(case: dict[str, Any]) -> None:
    now = torch.tensor(case["log_probs"], requires_grad=True)
    estimate = low_variance_kl(now, torch.tensor(case["reference"]))
    mean = token_mean(estimate, torch.tensor(case["mask"], dtype=torch.float32))
    mean.backward()
    assert_close(estimate.detach(), case["expected"])
    assert_close(mean.detach(), case["mean"])
    assert_close(now.grad, case["gradient"])


def test_the_golden_cases_reach_every_branch_of_the_loss() -> None:
    by_name = {case["name"]: case for case in GOLDEN["losses"] if case["clip_dual"] == 3.0}
    dual = by_name["negative advantage with the ratio above the dual clip"]
    assert dual["clip_share"] > 0
    assert any(value == 0 for row in dual["gradient"] for value in row)
    assert by_name["on policy"]["clip_share"] == 0
    assert by_name["within and beyond both clips"]["clip_share"] > 0
