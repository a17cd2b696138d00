"""The learner: the policy, its frozen reference, AdamW, and one step's updates from one batch of rollouts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from data.config import GrpoConfig
from infra.trainers.batches import MicroBatch, Sequences, micro_batches, mini_batches
from infra.trainers.errors import NonFiniteError
from infra.trainers.grpo import low_variance_kl, policy_loss
from infra.trainers.policy import Policy

_REMEDY = "try a smaller learning_rate or gradient_clip, or dtype float32"


class Learner:
    """Updates a policy in place. The reference of the KL term is the policy as it was at the start."""

    def __init__(self, policy: Policy, config: GrpoConfig) -> None:
        self.policy = policy
        self.updates = 0
        self.optimizer = torch.optim.AdamW(
            policy.parameters.values(),
            lr=config.learning_rate,
            betas=(config.adam_beta1, config.adam_beta2),
            weight_decay=config.weight_decay,
            fused=True,
        )
        self._config = config
        self._reference = policy.reference() if config.kl_coefficient > 0 else None

    def update(
        self, sequences: Sequence[Sequences], advantages: Sequence[float], pad_token_id: int, where: str
    ) -> dict[str, float]:
        """One step's `updates_per_step` updates; their columns of the `metrics` table.

        The rollouts stand group after group, an advantage for each. NonFiniteError, beginning with `where`,
        before anything that is not finite reaches the optimiser.
        """
        config, policy = self._config, self.policy
        parts = mini_batches(len(sequences) // config.group_size, config.group_size, config.updates_per_step)
        batches = [
            micro_batches(sequences, advantages, part, config.micro_batch_size, pad_token_id, policy.device)
            for part in parts
        ]
        old: list[list[torch.Tensor | None]] = [[None] * len(micros) for micros in batches]
        if len(batches) > 1:
            # Once the first update is made, the policy is no longer the one that drew the rollouts.
            with torch.no_grad():
                old = [
                    [policy.statistics(micro, config.temperature).log_probs for micro in micros]
                    for micros in batches
                ]
        totals = _Totals()
        for micros, old_log_probs in zip(batches, old, strict=True):
            self._one_update(micros, old_log_probs, totals, where)
        if not policy.is_finite():
            raise NonFiniteError(f"{where}: a weight is not finite; {_REMEDY}")
        return totals.means()

    def _one_update(
        self,
        micros: Sequence[MicroBatch],
        old_log_probs: Sequence[torch.Tensor | None],
        totals: _Totals,
        where: str,
    ) -> None:
        config = self._config
        tokens = sum(len(micro.targets) for micro in micros)
        self.optimizer.zero_grad(set_to_none=True)
        for micro, old in zip(micros, old_log_probs, strict=True):
            now = self.policy.statistics(micro, config.temperature)
            # A single update starts from the policy that drew, so old and new log-probabilities are equal.
            old = now.log_probs.detach() if old is None else old
            surrogate = policy_loss(
                now.log_probs, old, micro.advantages, config.clip_low, config.clip_high, config.clip_dual
            )
            # Divided by the tokens of the whole mini-batch, so that micro-batches add up to its token mean.
            loss = surrogate.loss.sum() / tokens
            kl = torch.zeros_like(now.entropy)
            if self._reference is not None:
                with torch.no_grad():
                    anchor = self.policy.statistics(micro, config.temperature, self._reference).log_probs
                kl = low_variance_kl(now.log_probs, anchor)
                loss = loss + config.kl_coefficient * kl.sum() / tokens
            loss.backward()
            totals.add_tokens(surrogate.loss, surrogate.clipped, kl, now.entropy)
        parameters = list(self.policy.parameters.values())
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, config.gradient_clip))
        totals.add_update(norm, tokens)
        if not totals.are_finite():
            raise NonFiniteError(
                f"{where}: the loss or the gradient is not finite (gradient norm {norm}); {_REMEDY}"
            )
        self.optimizer.step()
        self.updates += 1


class _Totals:
    """Sums over the tokens and the updates of a step."""

    def __init__(self) -> None:
        self._loss_sum = 0.0
        self._losses: list[float] = []
        self._norms: list[float] = []
        self._tokens = 0
        self._clipped = self._kl = self._entropy = 0.0

    def add_tokens(
        self, loss: torch.Tensor, clipped: torch.Tensor, kl: torch.Tensor, entropy: torch.Tensor
    ) -> None:
        """Per-token tensors of one micro-batch."""
        # One transfer from the device for the four.
        sums: list[float] = torch.stack(
            [loss.detach().sum(), clipped.sum(), kl.detach().sum(), entropy.sum()]
        ).tolist()
        self._loss_sum += sums[0]
        self._clipped += sums[1]
        self._kl += sums[2]
        self._entropy += sums[3]

    def add_update(self, norm: float, tokens: int) -> None:
        """Close an update: its policy loss is the sum since the last one."""
        self._losses.append(self._loss_sum / tokens)
        self._norms.append(norm)
        self._tokens += tokens
        self._loss_sum = 0.0

    def are_finite(self) -> bool:
        """Whether everything so far is a finite number."""
        return all(math.isfinite(value) for value in (self._losses[-1], self._norms[-1], self._kl))

    def means(self) -> dict[str, float]:
        """The columns of the `metrics` table that the updates give."""
        return {
            "policy_loss": sum(self._losses) / len(self._losses),
            "kl": self._kl / self._tokens,
            "entropy": self._entropy / self._tokens,
            "clip_share": self._clipped / self._tokens,
            "gradient_norm": sum(self._norms) / len(self._norms),
        }
