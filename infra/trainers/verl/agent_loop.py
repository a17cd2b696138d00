"""One rollout in verl's agent loop worker: the prompt's text unchanged, and a seed of its own."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput
from verl.utils.profiler import simple_timer

from infra.samplers.texts import end_tokens
from infra.trainers.verl.scoring import tell_of_failure

_SEEDS = 2**63


class PromptAgentLoop(AgentLoopBase):
    """Draws a completion of `extra_info["text"]`, to which its template has been applied.

    Sample i of a group is drawn with the group's seed plus i, as in vLLM when a prompt has several samples.
    """

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """The rollout's tokens."""
        extra: Mapping[str, Any] = kwargs["extra_info"]
        prompt_ids = self.tokenizer(extra["text"], add_special_tokens=False)["input_ids"]
        own = {
            "seed": (extra["seed"] + kwargs["session_id"]) % _SEEDS,
            "stop_token_ids": _stop_tokens(self.config.actor_rollout_ref.model.path, self.tokenizer),
        }
        metrics: dict[str, Any] = {}
        try:
            with simple_timer("generate_sequences", metrics):
                output = await self.server_manager.generate(
                    request_id=f"{extra['batch']}-{extra['group']}-{kwargs['session_id']}",
                    prompt_ids=list(prompt_ids),
                    # The samples of a group share the dictionary that they are handed.
                    sampling_params=sampling_params | own,
                )
        except Exception as error:
            await tell_of_failure(f"a rollout failed: {type(error).__name__}: {error}")
            raise
        length = self.rollout_config.response_length
        ids = list(output.token_ids)[:length]
        log_probs = list(output.log_probs)[:length] if output.log_probs else None
        return AgentLoopOutput(
            prompt_ids=list(prompt_ids),
            response_ids=ids,
            response_mask=[1] * len(ids),
            response_logprobs=log_probs,
            num_turns=2,
            metrics=AgentLoopMetrics(generate_sequences=metrics["generate_sequences"]),
            extra_fields={**output.extra_fields, "turn_scores": [], "tool_rewards": []},
        )


@functools.cache
def _stop_tokens(model_dir: str, tokenizer: Any) -> list[int]:
    """What ends a completion; found once a worker, since each rollout has a loop of its own."""
    return sorted(end_tokens(Path(model_dir), tokenizer))
