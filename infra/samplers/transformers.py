"""The `transformers` sampler: any causal language model that transformers loads, on any device."""

from __future__ import annotations

import os

# Threads that spin between operations slow everything down where cores are shared; set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from infra.artifacts.model_check import ModelDirectoryError
from infra.samplers.protocol import Completion, SamplingParams

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from data.config import SamplerConfig


class TransformersSampler:
    """Loads a Hugging Face model directory and draws completions from it; a context manager.

    Only safetensors are read and no code of the directory is run. Raises ModelDirectoryError, in one
    line, where the directory is missing or holds something else.
    """

    def __init__(self, config: SamplerConfig, model_dir: Path) -> None:
        import torch

        self._config = config
        device = config.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.set_num_threads(config.threads)
        self._tokenizer, model = _load(Path(model_dir), getattr(torch, config.dtype))
        model.to(torch.device(device))  # type: ignore[arg-type]  # its decorator hides the signature
        model.eval()
        self._model: PreTrainedModel | None = model
        self._eos = eos_token_ids(model, self._tokenizer)

    def sample(
        self, prompts: Sequence[str], params: SamplingParams, seeds: Sequence[int]
    ) -> list[list[Completion]]:
        """For each prompt (text as the model reads it) its `params.samples` completions, in order."""
        import torch

        from infra.samplers.decoding import decode

        if self._model is None:
            raise RuntimeError("the sampler is closed")
        if not prompts:
            return []
        torch.set_num_threads(self._config.threads)
        prompt_ids = self._tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
        decoded = decode(
            self._model,
            prompt_ids,
            params,
            seeds,
            self._eos,
            _pad_token_id(self._tokenizer, self._eos),
            self._config.batch_tokens,
        )
        texts = iter(
            completion_texts(
                self._tokenizer, [one.token_ids for group in decoded for one in group], self._eos
            )
        )
        return [
            [
                Completion(
                    text=next(texts),
                    token_ids=tuple(one.token_ids),
                    finish_reason=one.finish_reason,
                    seed=seed,
                    prompt_tokens=len(ids),
                )
                for one in group
            ]
            for group, ids, seed in zip(decoded, prompt_ids, seeds, strict=True)
        ]

    def close(self) -> None:
        """Free the device."""
        if self._model is None:
            return
        on_gpu = self._model.device.type == "cuda"
        self._model = None
        if on_gpu:
            import torch

            torch.cuda.empty_cache()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def completion_texts(
    tokenizer: PreTrainedTokenizerBase, token_ids: Sequence[Sequence[int]], eos: Collection[int]
) -> list[str]:
    """The text of each completion without its end-of-sequence token, added tokens spelled out."""
    bare = [ids[:-1] if ids and ids[-1] in eos else ids for ids in token_ids]
    return tokenizer.batch_decode(
        [list(ids) for ids in bare], skip_special_tokens=False, clean_up_tokenization_spaces=False
    )


def eos_token_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every token that ends a completion: those of the generation config and the tokenizer's own."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(i for i in [*ids, tokenizer.eos_token_id] if i is not None)


def _pad_token_id(tokenizer: PreTrainedTokenizerBase, eos: Collection[int]) -> int:
    """Any valid token will do, since the mask hides it."""
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(eos, default=0)


def _load(model_dir: Path, dtype: Any) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    # A bar for each shard of the weights tells nobody anything and gets into logs.
    logging.disable_progress_bar()
    if not (model_dir / "config.json").is_file():
        problem = "has no config.json" if model_dir.is_dir() else "is not a directory"
        raise ModelDirectoryError(f"{model_dir} {problem}: a Hugging Face model directory is needed")
    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(model_dir, **safe)
        model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=dtype, use_safetensors=True, **safe)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelDirectoryError(f"{model_dir} holds no causal language model: {reason}") from error
    return tokenizer, model
