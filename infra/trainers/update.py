"""The learner: the policy, its frozen reference, AdamW, and one step's updates from one batch of rollouts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from data.config import GrpoConfig
from infra.trainers.batches import MicroBatch, micro_batches, mini_batches
from infra.trainers.errors import CheckpointError, NonFiniteError
from infra.trainers.grpo import low_variance_kl, policy_loss
from infra.trainers.policy import Policy, TokenStatistics
from infra.trainers.sequences import Sequences

_REMEDY = "try a smaller learning_rate or gradient_clip, or dtype float32"
_MOMENTS = ("exp_avg", "exp_avg_sq")
_SMALL_MODEL_PARAMETERS = 5_000_000
"""Up to so many, an operation is too short to be shared by threads: each takes micro-batches of its own, and
the memory for a gradient of each is small."""


@dataclass
class _TokenSums:
    """Sums over the completion tokens of a step."""

    clipped: float = 0.0
    kl: float = 0.0
    entropy: float = 0.0


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
        small = sum(value.numel() for value in policy.parameters.values()) <= _SMALL_MODEL_PARAMETERS
        self._threads = torch.get_num_threads() if policy.device.type == "cpu" and small else 1
        self._pool = None
        if self._threads > 1:
            self._pool = ThreadPoolExecutor(self._threads, initializer=torch.set_num_threads, initargs=(1,))

    def update(
        self,
        sequences: Sequence[Sequences],
        advantages: Sequence[float],
        pad_token_id: int,
        where: str,
        hidden: torch.Tensor | None = None,
    ) -> dict[str, float]:
        """One step's `updates_per_step` updates; their columns of the `metrics` table.

        The rollouts stand group after group, an advantage for each; fewer groups than updates make fewer
        updates. Without the tokens that were `hidden` from them go the policy, the one that drew and the
        reference. NonFiniteError, beginning with `where`, before anything that is not finite reaches the
        optimiser.
        """
        config, policy = self._config, self.policy
        groups = len(sequences) // config.group_size
        parts = mini_batches(groups, config.group_size, min(config.updates_per_step, groups))
        batches = [self._micro_batches(sequences, advantages, part, pad_token_id, hidden) for part in parts]
        old: list[list[torch.Tensor | None]] = [[None] * len(micros) for micros in batches]
        if len(batches) > 1:
            # Once the first update is made, the policy is no longer the one that drew the rollouts.
            with torch.no_grad():
                old = [
                    [policy.statistics(micro, config.temperature).log_probs for micro in micros]
                    for micros in batches
                ]
        losses, norms, sums = [], [], _TokenSums()
        for micros, old_log_probs in zip(batches, old, strict=True):
            loss, norm = self._one_update(micros, old_log_probs, sums)
            if not all(math.isfinite(value) for value in (loss, norm, sums.kl)):
                raise NonFiniteError(
                    f"{where}: the loss or the gradient is not finite (gradient norm {norm}); {_REMEDY}"
                )
            self.optimizer.step()
            self.updates += 1
            losses.append(loss)
            norms.append(norm)
        if not policy.is_finite():
            raise NonFiniteError(f"{where}: a weight is not finite; {_REMEDY}")
        return _columns(sequences, sums, sum(losses) / len(losses), sum(norms) / len(norms))

    @torch.no_grad()
    def watch(
        self, sequences: Sequence[Sequences], pad_token_id: int, hidden: torch.Tensor | None = None
    ) -> dict[str, float]:
        """The same columns of a step without any group to learn from; nothing is updated."""
        config, policy, sums = self._config, self.policy, _TokenSums()
        members, none = range(len(sequences)), [0.0] * len(sequences)
        for micro in self._micro_batches(sequences, none, members, pad_token_id, hidden):
            now = policy.statistics(micro, config.temperature)
            sums.kl += float(self._kl(micro, now).sum())
            sums.entropy += float(now.entropy.sum())
        return _columns(sequences, sums, 0.0, 0.0)

    def _micro_batches(
        self,
        sequences: Sequence[Sequences],
        advantages: Sequence[float],
        members: Sequence[int],
        pad_token_id: int,
        hidden: torch.Tensor | None,
    ) -> list[MicroBatch]:
        """In micro-batches of like size, as many for each thread."""
        policy, threads = self.policy, self._threads
        rounds = math.ceil(len(members) / (self._config.micro_batch_size * threads))
        size = math.ceil(len(members) / (rounds * threads))
        return micro_batches(
            sequences, advantages, members, size, pad_token_id, policy.device, hidden, policy.packs
        )

    def _kl(self, micro: MicroBatch, now: TokenStatistics) -> torch.Tensor:
        """The KL to the reference at each token, 0 where the configuration gives it no weight.

        Until the first update the policy is its own reference: the KL is 0, and so is its gradient.
        """
        if self._reference is None or self.updates == 0:
            return torch.zeros_like(now.entropy)
        with torch.no_grad():
            anchor = self.policy.statistics(micro, self._config.temperature, self._reference).log_probs
        return low_variance_kl(now.log_probs, anchor)

    def _one_update(
        self, micros: Sequence[MicroBatch], old_log_probs: Sequence[torch.Tensor | None], sums: _TokenSums
    ) -> tuple[float, float]:
        """Set the clipped gradient of a mini-batch; its policy loss, and the norm before the clip."""
        # Divided by the tokens of the whole mini-batch, so that micro-batches add up to its token mean.
        tokens = sum(len(micro.targets) for micro in micros)
        policy_loss_sum = 0.0
        self.optimizer.zero_grad(set_to_none=True)
        for policy_loss_of_micro, clipped, kl, entropy in self._accumulated(micros, old_log_probs, tokens):
            policy_loss_sum += policy_loss_of_micro
            sums.clipped += clipped
            sums.kl += kl
            sums.entropy += entropy
        parameters = list(self.policy.parameters.values())
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self._config.gradient_clip))
        return policy_loss_sum / tokens, norm

    def _accumulated(
        self, micros: Iterable[MicroBatch], old_log_probs: Iterable[torch.Tensor | None], tokens: int
    ) -> Iterator[list[float]]:
        """Add the gradient of each micro-batch to those of the parameters; its sums, as `_loss` has them."""
        if self._pool is None:
            for micro, old in zip(micros, old_log_probs, strict=True):
                loss, of_micro = self._loss(micro, old, tokens)
                loss.backward()
                yield of_micro.tolist()
            return
        parameters = list(self.policy.parameters.values())

        def gradients_of(
            micro: MicroBatch, old: torch.Tensor | None
        ) -> tuple[tuple[torch.Tensor | None, ...], list[float]]:
            loss, of_micro = self._loss(micro, old, tokens)
            return torch.autograd.grad(loss, parameters, allow_unused=True), of_micro.tolist()

        # Whichever is ready first, they are added in order: the same sum in every run.
        for gradients, sums in self._pool.map(gradients_of, micros, old_log_probs):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None:
                    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
            yield sums

    def _loss(
        self, micro: MicroBatch, old: torch.Tensor | None, tokens: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A micro-batch's share of the loss; and its sums, [4]: policy loss, clipped tokens, KL, entropy."""
        config = self._config
        now = self.policy.statistics(micro, config.temperature)
        # A single update starts from the policy that drew, so old and new log-probabilities are equal.
        old = now.log_probs.detach() if old is None else old
        clip_high = config.clip_high if micro.clip_highs is None else micro.clip_highs
        surrogate = policy_loss(
            now.log_probs, old, micro.advantages, config.clip_low, clip_high, config.clip_dual
        )
        loss = surrogate.loss.sum() / tokens
        kl = self._kl(micro, now)
        if self._reference is not None:
            loss = loss + config.kl_coefficient * kl.sum() / tokens
        per_token = surrogate.loss.detach(), surrogate.clipped, kl.detach(), now.entropy
        # One tensor, and so one transfer from the device.
        return loss, torch.stack([values.sum() for values in per_token])

    def save(self, folder: Path) -> None:
        """Write the weights, and AdamW's moments as `exp_avg.<name>` and `exp_avg_sq.<name>`."""
        weights = {name: value.detach().contiguous() for name, value in self.policy.parameters.items()}
        save_file(weights, folder / "model.safetensors")
        moments = {
            f"{moment}.{name}": self.optimizer.state[value][moment].contiguous()
            for name, value in self.policy.parameters.items()
            if value in self.optimizer.state
            for moment in _MOMENTS
        }
        save_file(moments, folder / "optimizer.safetensors")

    @torch.no_grad()
    def load(self, folder: Path, updates: int) -> None:
        """Restore in place what `save` wrote after so many updates."""
        weights = load_file(folder / "model.safetensors")
        moments = load_file(folder / "optimizer.safetensors")
        shapes = {name: value.shape for name, value in self.policy.parameters.items()}
        # Of a parameter that has had no gradient there are no moments.
        of_moments = {f"{m}.{name}": shape for m in _MOMENTS for name, shape in shapes.items()}
        stored = {name: value.shape for name, value in moments.items()}
        if {name: value.shape for name, value in weights.items()} != shapes or stored != {
            name: of_moments.get(name) for name in stored
        }:
            raise CheckpointError(f"{folder}: the checkpoint's parameters are not the model's")
        for name, parameter in self.policy.parameters.items():
            parameter.copy_(weights[name])
            if f"exp_avg.{name}" not in moments:
                continue
            own = {m: torch.empty_like(parameter).copy_(moments[f"{m}.{name}"]) for m in _MOMENTS}
            # As the fused AdamW keeps it: a float32 count on the parameter's device.
            steps = torch.tensor(float(updates), dtype=torch.float32, device=parameter.device)
            self.optimizer.state[parameter] = {"step": steps, **own}
        self.updates = updates


def _columns(sequences: Sequence[Sequences], sums: _TokenSums, loss: float, norm: float) -> dict[str, float]:
    """The columns of the `metrics` table that the optimiser fills."""
    tokens = sum(len(sequence.completion) for sequence in sequences)
    return {
        "policy_loss": loss,
        "kl": sums.kl / tokens,
        "entropy": sums.entropy / tokens,
        "clip_share": sums.clipped / tokens,
        "gradient_norm": norm,
    }
