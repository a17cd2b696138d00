"""Makes grpo_golden.json: what verl 0.9.1 computes for the cases below, by its own functions.

verl is no dependency of this project. To make the file anew, in an environment of its own:

    python -m venv /tmp/verl && /tmp/verl/bin/pip install torch==2.13.0 numpy==2.3.5 tensordict==0.10.0 \
        omegaconf hydra-core ray==2.60.0 transformers==5.10.4 codetiming pandas
    /tmp/verl/bin/pip install --no-deps verl==0.9.1 TransferQueue==0.1.11
    /tmp/verl/bin/python tests/golden/make_grpo_golden.py

The inputs are kept in the file beside the results, so the tests need neither verl nor its random numbers.
All numbers are float32; gradients are of the scalar loss with respect to the log-probabilities.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import verl
from verl.trainer.ppo.core_algos import (
    agg_loss,
    compute_grpo_outcome_advantage,
    compute_policy_loss_vanilla,
    kl_penalty,
)
from verl.workers.config import ActorConfig

Case = dict[str, Any]

ADVANTAGES: dict[str, tuple[list[float], list[int]]] = {
    "two groups in order": ([0.0, 1.0, 1.0, 0.0, 0.25, 0.5, 0.75, 1.0], [0, 0, 0, 0, 1, 1, 1, 1]),
    "groups interleaved and unequal": ([1.0, 0.2, 0.0, 0.9, 1.0, 0.4], [3, 1, 3, 1, 3, 1]),
    "a group of equal rewards": ([0.5, 0.5, 0.5, 1.0, 0.0, 1.0], [0, 0, 0, 1, 1, 1]),
    "equal rewards that float32 cannot hold": ([0.1, 0.1, 0.1, 0.1, 0.1], [0, 0, 0, 0, 0]),
    "a group of one": ([0.7, 1.0, 0.0], [0, 1, 1]),
    "a group of two": ([0.3, 0.3000001], [0, 0]),
    "negative and large rewards": ([-1.0, -1.5, 200.0, 0.0], [0, 0, 0, 0]),
}

LOSSES: dict[str, dict[str, list[list[float]]]] = {
    "on policy": {
        "log_probs": [[-0.5, -1.0, -2.0], [-0.1, -3.0, -0.7]],
        "old_log_probs": [[-0.5, -1.0, -2.0], [-0.1, -3.0, -0.7]],
        "advantages": [[0.7, 0.7, 0.7], [-1.2, -1.2, -1.2]],
        "mask": [[1, 1, 1], [1, 1, 1]],
    },
    "within and beyond both clips": {
        "log_probs": [[-0.5, -1.0, -2.0, -0.8], [-0.1, -3.0, -0.7, -1.1]],
        "old_log_probs": [[-0.6, -1.5, -1.5, -0.8], [-0.3, -2.0, -1.4, -1.0]],
        "advantages": [[1.0, 1.0, 1.0, 1.0], [-0.8, -0.8, -0.8, -0.8]],
        "mask": [[1, 1, 1, 1], [1, 1, 1, 1]],
    },
    "negative advantage with the ratio above the dual clip": {
        "log_probs": [[-0.1, -0.2, -0.3], [-0.1, -0.1, -0.2]],
        "old_log_probs": [[-1.1, -1.4, -2.5], [-4.0, -1.2, -1.15]],
        "advantages": [[-1.0, -1.0, -1.0], [-0.3, -0.3, -0.3]],
        "mask": [[1, 1, 1], [1, 1, 0]],
    },
    "masked tokens, one row wholly": {
        "log_probs": [[-0.5, -1.0, -9.0], [-0.1, -3.0, -0.7], [-5.0, -5.0, -5.0]],
        "old_log_probs": [[-0.6, -1.1, -0.1], [-0.2, -2.9, -0.9], [-1.0, -1.0, -1.0]],
        "advantages": [[0.5, 0.5, 0.5], [-0.5, -0.5, -0.5], [9.0, 9.0, 9.0]],
        "mask": [[1, 1, 0], [1, 0, 0], [0, 0, 0]],
    },
    "log-ratios beyond the clamp": {
        "log_probs": [[-0.01, -40.0, -0.02], [-0.01, -35.0, -25.0]],
        "old_log_probs": [[-30.0, -0.5, -20.03], [-30.0, -0.5, -0.001]],
        "advantages": [[1.5, 1.5, 1.5], [-1.5, -1.5, -1.5]],
        "mask": [[1, 1, 1], [1, 1, 1]],
    },
    "advantage of zero": {
        "log_probs": [[-0.5, -1.0]],
        "old_log_probs": [[-2.5, -0.2]],
        "advantages": [[0.0, 0.0]],
        "mask": [[1, 1]],
    },
}

KLS: dict[str, dict[str, list[list[float]]]] = {
    "equal": {"log_probs": [[-0.5, -3.0]], "reference": [[-0.5, -3.0]], "mask": [[1, 1]]},
    "near": {
        "log_probs": [[-0.5, -3.0, -1.0], [-0.7, -0.2, -2.0]],
        "reference": [[-0.6, -2.5, -1.001], [-0.7, -0.9, -1.0]],
        "mask": [[1, 1, 1], [1, 1, 0]],
    },
    "estimates beyond their clamp": {
        "log_probs": [[-5.0, -0.1, -9.0, -3.0]],
        "reference": [[-0.1, -15.0, -0.2, -0.6]],
        "mask": [[1, 1, 1, 1]],
    },
    "log-ratios beyond the clamp": {
        "log_probs": [[-45.0, -0.01, -0.02]],
        "reference": [[-0.01, -45.0, -20.01]],
        "mask": [[1, 1, 1]],
    },
}

CLIPS = [(0.2, 0.3, 3.0), (0.2, 0.2, 3.0), (0.0, 0.0, 1.5)]


def drawn_losses() -> dict[str, dict[str, list[list[float]]]]:
    """One larger case of random numbers, some far from on-policy."""
    random = torch.Generator().manual_seed(0)
    old = -torch.rand((8, 12), generator=random) * 5
    now = old + torch.randn((8, 12), generator=random)
    lengths = torch.tensor([12, 1, 5, 7, 12, 3, 9, 2])
    mask = (torch.arange(12) < lengths[:, None]).int()
    advantages = torch.randn((8, 1), generator=random).expand(8, 12)
    tensors = {"log_probs": now, "old_log_probs": old, "advantages": advantages, "mask": mask}
    return {"drawn": {name: tensor.tolist() for name, tensor in tensors.items()}}


def advantage_cases() -> list[Case]:
    """Advantages with and without the division."""
    cases = []
    for name, (rewards, groups) in ADVANTAGES.items():
        for divide in (True, False):
            result, _ = compute_grpo_outcome_advantage(
                token_level_rewards=torch.tensor(rewards).unsqueeze(-1),
                response_mask=torch.ones(len(rewards), 1),
                index=np.array(groups),
                norm_adv_by_std_in_grpo=divide,
            )
            expected = result.squeeze(-1).tolist()
            cases.append(
                {
                    "name": name,
                    "rewards": rewards,
                    "groups": groups,
                    "divide_by_std": divide,
                    "expected": expected,
                }
            )
    return cases


def loss_cases() -> list[Case]:
    """Policy losses as token means, the share of clipped tokens, and gradients."""
    cases = []
    for name, inputs in (LOSSES | drawn_losses()).items():
        for low, high, dual in CLIPS:
            config = ActorConfig(
                strategy="fsdp",
                rollout_n=1,
                ppo_micro_batch_size_per_gpu=1,
                clip_ratio_low=low,
                clip_ratio_high=high,
                clip_ratio_c=dual,
            )
            now = torch.tensor(inputs["log_probs"], requires_grad=True)
            loss, metrics = compute_policy_loss_vanilla(
                torch.tensor(inputs["old_log_probs"]),
                now,
                torch.tensor(inputs["advantages"]),
                torch.tensor(inputs["mask"], dtype=torch.float32),
                "token-mean",
                config,
            )
            loss.backward()
            cases.append(
                {
                    "name": name,
                    **inputs,
                    "clip_low": low,
                    "clip_high": high,
                    "clip_dual": dual,
                    "loss": loss.item(),
                    "gradient": now.grad.tolist(),
                    "clip_share": metrics["actor/pg_clipfrac"] + metrics["actor/pg_clipfrac_lower"],
                }
            )
    return cases


def kl_cases() -> list[Case]:
    """low_var_kl token by token, its token mean, and the gradient of that."""
    cases = []
    for name, inputs in KLS.items():
        now = torch.tensor(inputs["log_probs"], requires_grad=True)
        estimate = kl_penalty(now, torch.tensor(inputs["reference"]), "low_var_kl")
        mean = agg_loss(estimate, torch.tensor(inputs["mask"], dtype=torch.float32), "token-mean")
        mean.backward()
        cases.append(
            {
                "name": name,
                **inputs,
                "expected": estimate.tolist(),
                "mean": mean.item(),
                "gradient": now.grad.tolist(),
            }
        )
    return cases


def main() -> None:
    """Write the file beside this script."""
    content = {
        "made_by": f"verl {verl.__version__}, torch {torch.__version__.split('+')[0]}",
        "advantages": advantage_cases(),
        "losses": loss_cases(),
        "kls": kl_cases(),
    }
    path = Path(__file__).with_name("grpo_golden.json")
    path.write_text(json.dumps(content, separators=(",", ":"), allow_nan=False) + "\n")
    print(path, path.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
