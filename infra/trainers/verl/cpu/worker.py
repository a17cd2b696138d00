"""vLLM's worker on a CPU: seeded draws, and new weights, which it packs and cannot fill in place."""

from __future__ import annotations

from typing import Any

import torch
from verl.workers.rollout.vllm_rollout.bucketed_weight_transfer import BucketedWeightReceiver
from verl.workers.rollout.vllm_rollout.utils import vLLMColocateWorkerExtension

from infra.trainers.verl.cpu.seeded import draw_seeded_tokens_so

# vLLM imports this file before it makes the worker's sampler.
draw_seeded_tokens_so()


class CpuWorkerExtension(vLLMColocateWorkerExtension):
    """Takes in all buckets of weights, then has the model loaded anew from them."""

    def update_weights_from_ipc(
        self, peft_config: dict[str, Any] | None = None, base_sync_done: bool = False, use_shm: bool = False
    ) -> None:
        """Called by verl in each vLLM worker after a training step."""
        weights: list[tuple[str, torch.Tensor]] = []

        def take(bucket: list[tuple[str, torch.Tensor]], is_last: bool) -> None:
            # The buffer is used again for the next bucket.
            weights.extend((name, tensor.detach().clone()) for name, tensor in bucket)

        receiver = BucketedWeightReceiver(
            zmq_handle=self._get_zmq_handle(), device=torch.device("cpu"), use_shm=use_shm
        )
        receiver.receive_weights(on_bucket_received=take)
        self.model_runner.reload_weights(weights_iterator=iter(weights))
