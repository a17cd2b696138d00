"""The objective of GRPO, as the paper trains both roles with it: pure functions of tensors.

For a group of G rollouts of one prompt with rewards r_1..r_G (DeepSeekMath, arXiv 2402.03300, eq. 3-4;
R-Zero, arXiv 2508.05004, section 2.1):

    A_i     = (r_i - mean r) / (std r + epsilon)            the same for every token of rollout i
    rho_t   = pi(y_t | ...) / pi_old(y_t | ...)
    L_t     = -min(rho_t A, clip(rho_t, 1 - low, 1 + high) A),  at most -c A where A < 0 (dual clip)
    KL_t    = q - log q - 1,  q = pi_ref(y_t | ...) / pi(y_t | ...)   (low variance, never negative)
    loss    = mean over the batch's completion tokens of  L_t + beta KL_t

The numbers, the clamps included, equal those of verl 0.9.1, with which the authors trained; see
tests/golden. `policy_loss` and `low_variance_kl` work element by element, on padded matrices
and packed vectors alike.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

STD_EPSILON = 1e-6
LOG_RATIO_LIMIT = 20.0
"""Log-ratios are clamped to this before they are exponentiated."""
KL_LIMIT = 10.0
"""Largest KL estimate of one token; beyond it the term has no gradient."""


class PolicyLoss(NamedTuple):
    """The loss of each token, and whether a clip decided it; both shaped as the log-probabilities."""

    loss: torch.Tensor
    clipped: torch.Tensor


def group_advantages(rewards: torch.Tensor, groups: torch.Tensor, divide_by_std: bool) -> torch.Tensor:
    """How much better each rollout is than its group, shape [rollouts].

    `rewards` [rollouts] and `groups` [rollouts], integers in any order. The standard deviation is the
    sample's (divided by G - 1). A group of one has nothing to be compared with: its advantage is its
    reward, as in verl. Without `divide_by_std` it is the unbiased variant of "Dr. GRPO" (arXiv 2503.20783).
    """
    advantages = torch.empty_like(rewards)
    for group in torch.unique(groups):
        members = groups == group
        own = rewards[members]
        if len(own) == 1:
            mean, std = torch.zeros_like(own[0]), torch.ones_like(own[0])
        else:
            mean, std = own.mean(), own.std()
        centred = own - mean
        advantages[members] = centred / (std + STD_EPSILON) if divide_by_std else centred
    return advantages


def policy_loss(
    log_probs: torch.Tensor,
    old_log_probs: torch.Tensor,
    advantages: torch.Tensor,
    clip_low: float,
    clip_high: float | torch.Tensor,
    clip_dual: float,
) -> PolicyLoss:
    """The clipped loss of each token (PPO, arXiv 1707.06347; dual clip, arXiv 1912.09729).

    The tensors have one shape; the advantage of a rollout, and its upper clip where rollouts have their own,
    stand at each of its tokens.
    """
    log_ratio = (log_probs - old_log_probs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    ratio = log_ratio.exp()
    free = -advantages * ratio
    if isinstance(clip_high, torch.Tensor):
        near = torch.minimum(ratio.clamp(min=1.0 - clip_low), 1.0 + clip_high)
    else:
        near = ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    held = -advantages * near
    pessimistic = torch.maximum(free, held)
    # Where the advantage is negative the pessimistic loss has no upper bound: a token that became much
    # likelier would dominate the batch.
    bound = -advantages * clip_dual
    negative = advantages < 0
    loss = torch.where(negative, torch.minimum(bound, pessimistic), pessimistic)
    clipped = (held > free) | (negative & (pessimistic > bound))
    return PolicyLoss(loss, clipped)


def low_variance_kl(log_probs: torch.Tensor, reference_log_probs: torch.Tensor) -> torch.Tensor:
    """The estimate of KL(policy || reference) at each token, verl's `low_var_kl` (Schulman's k3)."""
    log_ratio = (reference_log_probs - log_probs).clamp(-LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)
    return (log_ratio.exp() - log_ratio - 1.0).clamp(-KL_LIMIT, KL_LIMIT)
