"""Tokens a second of the sampler against plain `generate`, on the same model in the same run.

    python -m tests.benchmarks.bench_sampler [MODEL_DIR] [--prompts 1000] [--samples 10] [--threads 1]

Without a directory a tiny model is pre-trained first, briefly: the speed does not depend on how well it
has learnt, only on how long its answers are. `generate` gets the same prompts in batches of one length,
as many rows at once as the sampler, so that nothing but the loop differs. Speeds are given by the clock
and by processor time, which tells more where other programs run beside it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from tests.benchmarks.tiny_model import pretrain_briefly, solver_prompts

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main() -> None:
    """Print the two speeds and their ratio."""
    parser = argparse.ArgumentParser(description="Tokens a second of the sampler against plain generate.")
    parser.add_argument("model", nargs="?", type=Path, help="a Hugging Face directory of the tiny model")
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-tokens", type=int, default=65536)
    parser.add_argument("--training-steps", type=int, default=150)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model
        if model is None:
            model = Path(folder)
            pretrain_briefly(model, options.training_steps, options.threads)
        _compare(model, options)


def _compare(model: Path, options: argparse.Namespace) -> None:
    from data.backends import TransformersSamplerConfig
    from infra.samplers import SamplingParams
    from infra.samplers.transformers import TransformersSampler

    prompts = solver_prompts(options.prompts, terms=12)
    config = TransformersSamplerConfig(
        device="cpu", threads=options.threads, batch_tokens=options.batch_tokens
    )
    params = SamplingParams(max_tokens=options.max_tokens, samples=options.samples)
    with TransformersSampler(config, model) as sampler:
        sampler.sample(prompts[:10], params, range(10))
        clock = _Clock()
        groups = sampler.sample(prompts, params, range(len(prompts)))
        ours = clock.speeds(sum(len(one.token_ids) for group in groups for one in group))
    theirs = _generate(model, prompts, options)
    for name, speeds in (("sampler", ours), ("generate", theirs)):
        print(f"{name:10}{speeds[0]:9.0f} tokens/s by the clock {speeds[1]:9.0f} by processor time")
    print(f"{'ratio':10}{ours[0] / theirs[0]:9.2f}{'':23}{ours[1] / theirs[1]:9.2f}")


class _Clock:
    def __init__(self) -> None:
        self._started = time.perf_counter(), time.process_time()

    def speeds(self, tokens: int) -> tuple[float, float]:
        """Tokens a second since the beginning: of the clock, of processor time."""
        wall, processor = self._started
        return tokens / (time.perf_counter() - wall), tokens / (time.process_time() - processor)


def _generate(model_dir: Path, prompts: list[str], options: argparse.Namespace) -> tuple[float, float]:
    """Speeds of `generate`; tokens count up to and with the end token."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    model = AutoModelForCausalLM.from_pretrained(model_dir).eval()
    by_length: dict[int, list[list[int]]] = {}
    for ids in tokenizer(prompts, add_special_tokens=False)["input_ids"]:
        by_length.setdefault(len(ids), []).append(ids)
    tokens, clock = 0, _Clock()
    for length, group in sorted(by_length.items()):
        room = max(1, options.batch_tokens // (length + options.max_tokens) // options.samples)
        for first in range(0, len(group), room):
            ids = torch.tensor(group[first : first + room])
            out = model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                top_k=0,
                num_return_sequences=options.samples,
                max_new_tokens=options.max_tokens,
            )[:, length:]
            tokens += int((out != tokenizer.pad_token_id).sum())
    return clock.speeds(tokens)


if __name__ == "__main__":
    main()
