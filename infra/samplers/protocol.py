"""The Sampler protocol: prompts in, completions out, the same types for every backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

if TYPE_CHECKING:
    from data.config import SamplingConfig


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How completions are drawn: `samples` of them for each prompt; temperature 0 is greedy."""

    max_tokens: int
    samples: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0

    @classmethod
    def of(cls, config: SamplingConfig, samples: int = 1) -> SamplingParams:
        """The parameters that a section of the configuration names."""
        return cls(
            max_tokens=config.max_tokens,
            samples=samples,
            temperature=config.temperature,
            top_p=config.top_p,
            top_k=config.top_k,
        )


@dataclass(frozen=True, slots=True)
class Completion:
    """One drawn completion.

    `text` holds the completion without the end-of-sequence token, added tokens spelled out;
    `token_ids` holds every sampled token, the end-of-sequence token included;
    `finish_reason` is 'stop' (the model ended it) or 'length' (cut at max_tokens).
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: Literal["stop", "length"]
    seed: int
    prompt_tokens: int

    def columns(self) -> dict[str, Any]:
        """What tables hold of a completion."""
        return {
            "seed": self.seed,
            "completion": self.text,
            "tokens": len(self.token_ids),
            "finish_reason": self.finish_reason,
        }


def check_seeds(prompts: Sequence[object], seeds: Sequence[int]) -> None:
    """ValueError unless each prompt has its seed."""
    if len(seeds) != len(prompts):
        raise ValueError(f"{len(prompts)} prompts need as many seeds, not {len(seeds)}")


class Sampler(Protocol):
    """Owns the model and its device until it is closed; a context manager."""

    def sample(
        self, prompts: Sequence[str], params: SamplingParams, seeds: Sequence[int]
    ) -> list[list[Completion]]:
        """For each prompt (text as the model reads it) its `params.samples` completions, in order.

        `seeds` has one seed per prompt; the same seed, prompt, parameters and batch give the same
        completions on the same backend.
        """
        ...

    def close(self) -> None:
        """Free the device."""
        ...

    def kill(self) -> None:
        """Free the device at once, after an error."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.kill()
