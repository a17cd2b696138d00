"""The `transformers` sampler: any causal language model that transformers loads, on any device."""

from __future__ import annotations

import os

# Threads that spin between operations slow everything down where cores are shared; set before torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.foreign import one_line
from infra.machine.memory import batches_shrank, is_out_of_memory
from infra.models.check import ModelDirectoryError, check_model_directory
from infra.samplers.protocol import Completion, Sampler, SamplingParams
from infra.samplers.texts import eos_token_ids

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from data.backends import TransformersSamplerConfig


class TransformersSampler(Sampler):
    """Loads a Hugging Face model directory and draws completions from it.

    Only safetensors are read and no code of the directory is run. Raises ModelDirectoryError, in one
    line, where the directory is missing or holds something else.
    """

    hides_tokens = True

    def __init__(self, config: TransformersSamplerConfig, model_dir: Path) -> None:
        import torch

        from infra.samplers.decoding.loop import Room

        self._config = config
        self._room = Room(config.batch_tokens)
        device = config.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        torch.set_num_threads(config.threads)
        self._tokenizer, model = load_model(Path(model_dir), getattr(torch, config.dtype))
        model.to(torch.device(device))  # type: ignore[arg-type]  # its decorator hides the signature
        model.eval()
        self._model: PreTrainedModel | None = model
        self._end_tokens = eos_token_ids(model, self._tokenizer)

    def _draw(self, prompts: list[str], params: SamplingParams, seeds: list[int]) -> list[list[Completion]]:
        import torch

        from infra.samplers.decoding.loop import complete

        assert self._model is not None
        torch.set_num_threads(self._config.threads)
        ids = self._tokenizer(prompts, add_special_tokens=False)["input_ids"]
        drawn = complete(self._model, self._tokenizer, ids, params, seeds, self._end_tokens, self._room)
        if self._room.tokens < self._config.batch_tokens and (tell := batches_shrank.get()):
            tell(self._room.tokens)
        return drawn

    def _free(self, at_once: bool) -> None:
        import torch

        self._model = None
        torch.cuda.empty_cache()


def load_model(model_dir: Path, dtype: Any) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    """The tokenizer and the model of a directory; ModelDirectoryError where it holds none."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    # Progress bars for the shards of the weights would only clutter logs.
    logging.disable_progress_bar()
    check_model_directory(model_dir)
    safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(model_dir, **safe)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            model_dir, dtype=dtype, use_safetensors=True, output_loading_info=True, **safe
        )
    except Exception as error:
        # Of what others wrote, libraries complain in many ways.
        if is_out_of_memory(error):
            raise
        raise ModelDirectoryError(
            f"{model_dir} holds no causal language model: {one_line(str(error))}"
        ) from error
    model, info = loaded
    if missing := sorted(info["missing_keys"]):
        # transformers fills them with random numbers.
        raise ModelDirectoryError(
            f"{model_dir} lacks weights: {one_line(missing[0], 80)} and {len(missing) - 1} more"
        )
    return tokenizer, model


open_backend = TransformersSampler
