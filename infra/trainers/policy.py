"""The policy in memory: its weights, its frozen reference, and the log-probabilities of what it wrote."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from infra.trainers.batches import MicroBatch
from infra.trainers.folders import quiet
from infra.trainers.packing import for_packing, hidden_states


class TokenStatistics(NamedTuple):
    """Of each completion token of a micro-batch, [T] float32; `entropy` has no gradient."""

    log_probs: torch.Tensor
    entropy: torch.Tensor


class Policy:
    """A causal language model with float32 master weights, always in eval mode: dropout would make the
    log-probabilities of two passes differ.

    `dtype` bfloat16 computes forward and backward under autocast and draws rollouts from a copy in bfloat16.
    """

    logits_at_once = 2**26
    """Logits held at once; a larger batch of tokens passes the head in pieces, recomputed backward."""

    def __init__(self, model: Any, dtype: torch.dtype) -> None:
        self.model = model.eval()
        self.parameters: dict[str, nn.Parameter] = dict(model.named_parameters())
        self.device: torch.device = next(iter(self.parameters.values())).device
        self._dtype = dtype
        self._head_is_plain = _head_is_plain(model, self.device)
        # On a GPU the fused kernels for causal attention take padded rows.
        packing = self.device.type == "cpu" and self._head_is_plain
        twin = for_packing(model, self.device) if packing else None
        self.packs = twin is not None
        """Whether its micro-batches may be packed."""
        self._for_updates = model if twin is None else twin
        self._for_rollouts = model if dtype == torch.float32 else _cast(copy.deepcopy(model), dtype)

    def reference(self) -> Any:
        """A frozen copy of the policy as it is now, which computes exactly what the policy does."""
        frozen = copy.deepcopy(self._for_updates).requires_grad_(False)
        if self._dtype != torch.float32:
            # Autocast would cast the weights of linear layers at every use, to the same values. Those that
            # are also read otherwise (tied embeddings) stay as they are.
            tied = {id(m.weight) for m in frozen.modules() if isinstance(m, nn.Embedding)}
            for module in frozen.modules():
                if isinstance(module, nn.Linear) and id(module.weight) not in tied:
                    module.to(self._dtype)
        return frozen

    @torch.no_grad()
    def for_rollouts(self) -> Any:
        """The model to draw from, with the policy's present weights."""
        if self._for_rollouts is not self.model:
            pairs = zip(self._for_rollouts.parameters(), self.model.parameters(), strict=True)
            for target, source in pairs:
                target.copy_(source)
        return self._for_rollouts

    def statistics(self, batch: MicroBatch, temperature: float, model: Any = None) -> TokenStatistics:
        """Log-probabilities of the batch's completion tokens and the entropies where they were drawn.

        Both are of the softmax of logits / temperature, without top_p and top_k, as in verl, over the tokens
        that were not hidden. `model` is the policy's own or its reference.
        """
        model = self._for_updates if model is None else model
        with torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32):
            if self._head_is_plain:
                # Prompts and padding get no logits: at a large vocabulary those are most of the memory.
                hidden = hidden_states(model, batch.input_ids, batch.packing)
                head = model.get_output_embeddings()
                inputs = hidden.flatten(0, 1).index_select(0, batch.positions)
            else:
                head = nn.Identity()
                logits = model(input_ids=batch.input_ids, use_cache=False).logits
                inputs = logits.flatten(0, 1).index_select(0, batch.positions)
            rows = max(1, self.logits_at_once // model.config.get_text_config().vocab_size)
            pieces = list(zip(inputs.split(rows), batch.targets.split(rows), strict=True))
            if len(pieces) == 1 or not torch.is_grad_enabled():
                results = [_head_statistics(head, *piece, temperature, batch.hidden) for piece in pieces]
            else:
                recomputed = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
                results = [
                    recomputed(_head_statistics, head, *piece, temperature, batch.hidden) for piece in pieces
                ]
        return TokenStatistics(*(torch.cat(parts) for parts in zip(*results, strict=True)))

    def is_finite(self) -> bool:
        """Whether every weight is a finite number."""
        with torch.no_grad():
            norm = torch.nn.utils.get_total_norm(list(self.parameters.values()))
        return bool(torch.isfinite(norm))


def load_policy(model_dir: Path, device: torch.device, dtype: torch.dtype) -> tuple[Policy, torch.dtype]:
    """The model of a Hugging Face directory as a policy, and the dtype that its weights are stored in."""
    from transformers import AutoModelForCausalLM

    with quiet():
        model: Any = AutoModelForCausalLM.from_pretrained(
            model_dir,
            dtype="auto",
            # At the lengths that a CPU can train, eager attention is faster than sdpa.
            attn_implementation="eager" if device.type == "cpu" else "sdpa",
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    stored = model.dtype
    # Copied from the mapped file into memory of its own, which is aligned alike in every run.
    return Policy(_cast(model, torch.float32).to(device), dtype), stored


def _cast(model: Any, dtype: torch.dtype) -> Any:
    # The parameters only: buffers such as the rotary frequencies lose their meaning in bfloat16.
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype, copy=True)
    return model


def _head_statistics(
    head: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    temperature: float,
    hidden: torch.Tensor | None,
) -> TokenStatistics:
    logits = head(inputs).float()
    if temperature != 1.0:
        logits = logits / temperature
    if hidden is not None:
        logits = logits.masked_fill(hidden, -torch.inf)
    log_probs = torch.log_softmax(logits, dim=-1)
    with torch.no_grad():
        terms = log_probs.exp() * log_probs
        # Of a probability of 0 there is nothing to sum, where 0 times infinity is not a number.
        entropy = -(terms if hidden is None else terms.masked_fill(hidden, 0.0)).sum(dim=-1)
    return TokenStatistics(log_probs.gather(-1, targets.unsqueeze(-1)).squeeze(-1), entropy)


@torch.no_grad()
def _head_is_plain(model: Any, device: torch.device) -> bool:
    # Some architectures scale or cap their logits after the head; these use the whole model.
    ids = torch.arange(1, 5, device=device).unsqueeze(0)
    head = model.get_output_embeddings()
    if head is None:
        return False
    hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    logits = model(input_ids=ids, use_cache=False).logits
    return logits.shape == head(hidden).shape and torch.allclose(logits, head(hidden), rtol=1e-4, atol=1e-5)
