"""What a sampler is: prompts in, completions out, the same types for every backend."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from data.seeds import derive_seed

if TYPE_CHECKING:
    from data.config import SamplingConfig


@dataclass(frozen=True, slots=True)
class VocabularyDropout:
    """Tokens that cannot be drawn: each by a chance of `share`, but never those of the `spared` texts.

    Which ones is a function of the seed and the token's number (arXiv 2604.03472).
    """

    share: float
    spared: tuple[str, ...]
    seed: int

    def at(self, *labels: str | int) -> VocabularyDropout:
        """The same with other tokens, by a seed derived for these labels."""
        return replace(self, seed=derive_seed(self.seed, *labels))


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How completions are drawn: `samples` of them for each prompt; temperature 0 is greedy."""

    max_tokens: int
    samples: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    dropout: VocabularyDropout | None = None

    @classmethod
    def of(
        cls, config: SamplingConfig, samples: int = 1, dropout: VocabularyDropout | None = None
    ) -> SamplingParams:
        """The parameters that a section of the configuration names."""
        return cls(config.max_tokens, samples, config.temperature, config.top_p, config.top_k, dropout)


@dataclass(frozen=True, slots=True)
class Completion:
    """One drawn completion.

    `text` holds the completion without the token that ended it, other added tokens spelled out;
    `token_ids` holds every sampled token, that one included;
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


def check_prompts(prompt_ids: Sequence[Sequence[int]], longest: int | None, first: int = 0) -> None:
    """ValueError unless each prompt has a token, and leaves room for one more among `longest`.

    The error says which one it is, counted from `first`.
    """
    for index, ids in enumerate(prompt_ids, first):
        if not ids:
            raise ValueError(f"prompt {index} is empty: a model needs at least one token to go on from")
        if longest is not None and len(ids) >= longest:
            raise ValueError(f"prompt {index} has {len(ids)} tokens; the model reads at most {longest}")


class Sampler(ABC):
    """Owns the model and its device until it is closed; a context manager.

    An error closes it, unless several calls may be under way: the others go on while it is not lost.
    """

    calls_at_once = 1
    """How many threads may call `sample` at the same time."""
    hides_tokens = False
    """Whether it can draw without some of the tokens."""
    _closed = False

    @property
    def is_lost(self) -> bool:
        """Whether it will draw nothing more."""
        return self._closed

    def sample(
        self, prompts: Sequence[str], params: SamplingParams, seeds: Sequence[int]
    ) -> list[list[Completion]]:
        """For each prompt (text as the model reads it) its `params.samples` completions, in order.

        `seeds` has one seed per prompt; the same seed, prompt, parameters and batch give the same
        completions on the same backend.
        """
        if self._closed:
            raise RuntimeError("the sampler is closed")
        if len(seeds) != len(prompts):
            raise ValueError(f"{len(prompts)} prompts need as many seeds, not {len(seeds)}")
        if params.dropout is not None and not self.hides_tokens:
            raise ValueError("this sampler draws from all tokens; use the sampler 'transformers'")
        if not prompts:
            return []
        try:
            return self._draw(list(prompts), params, list(seeds))
        except BaseException:
            if self.calls_at_once == 1:
                self._end(at_once=True)
            raise

    def close(self) -> None:
        """Free the device."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._end(at_once=kind is not None)

    def _end(self, at_once: bool = False) -> None:
        self._closed = True
        self._free(at_once)

    @abstractmethod
    def _draw(self, prompts: list[str], params: SamplingParams, seeds: list[int]) -> list[list[Completion]]:
        """As `sample`, for at least one prompt."""

    @abstractmethod
    def _free(self, at_once: bool) -> None:
        """Free the device; may be called again. Unless `at_once`, let what is under way finish first."""
