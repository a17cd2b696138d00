"""verl's reward manager that has the stage score whole batches; runs in the one reward worker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from verl.experimental.reward_loop.reward_manager.base import RewardManagerBase

from infra.samplers.texts import completion_texts, end_tokens
from infra.trainers.verl.gather import Gather
from infra.trainers.verl.scoring import score_in_stage, tell_of_failure


class BatchRewardManager(RewardManagerBase):
    """Holds each rollout back until its batch is complete and the stage has scored it."""

    def __init__(self, config: Any, tokenizer: Any, compute_score: Any, **_: Any) -> None:
        super().__init__(config, tokenizer, compute_score)
        self._eos = end_tokens(Path(config.actor_rollout_ref.model.path), tokenizer)
        self._gather = Gather(self._score_batch, float(config.rzero.timeout_seconds))

    async def run_single(self, data: Any) -> dict[str, Any]:
        """The score of one rollout."""
        item = data[-1]
        extra = item.non_tensor_batch["extra_info"]
        length = int(item.non_tensor_batch["response_len"])
        ids = item.batch["responses"][:length].tolist()
        sample = {
            "step": int(extra["step"]),
            "group": int(extra["group"]),
            "sample": int(item.non_tensor_batch["session_id"]),
            "prompt_index": int(extra["index"]),
            "prompt_tokens": int(item.non_tensor_batch["prompt_len"]),
            "token_ids": ids,
            "text": completion_texts(self.tokenizer, [ids], self._eos)[0],
            "finish_reason": "stop" if ids and ids[-1] in self._eos else "length",
        }
        try:
            score = await self._gather.score(str(extra["batch"]), int(extra["size"]), sample)
        except Exception as error:
            await tell_of_failure(str(error))
            raise
        return {"reward_score": score, "reward_extra_info": {}}

    async def _score_batch(self, batch: str, samples: Sequence[Any]) -> list[float]:
        return await score_in_stage(samples)
