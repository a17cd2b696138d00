"""Pre-training of the tiny model in place, on text made on the fly in both roles.

The text knows two ways of adding a step, of which the likelier errs more (`ways.py`), and both err by chance
(`TinyModelConfig.noise`). So the model's likeliest answer is not its best: it is mostly wrong, one sample is
right more often, and a vote of its samples far more often, which is what self-training with votes needs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from data.tiny import arithmetic
from data.tiny.tokenizer import CHALLENGER, END, MODEL_MAX_LENGTH, SOLVER, build_tokenizer, vocabulary

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    from data.tiny.settings import TinyModelConfig

Report = Callable[[int, Mapping[str, float]], None]

HIDDEN_SIZE, LAYERS, HEADS, INTERMEDIATE_SIZE = 128, 2, 4, 256
MATRIX_LEARNING_RATE, OTHER_LEARNING_RATE = 0.02, 3e-3
WARM_UP_STEPS, DECAY_SHARE, LAST_LEARNING_RATE = 20, 0.4, 0.02
GRADIENT_CLIP = 1.0
SOLVER_LENGTH_DECAY = 0.75
"""Long chains are rare in the text, so that what is learnt on short ones does not settle long ones."""
DRIFTING_SHARE = 0.5
"""How many of the Solver's chains start anywhere and may go one way; few others come near 0 or 99."""
CHALLENGER_LENGTH_SPREAD, CHALLENGER_LONG_SHARE = 1.2, 0.1
"""The Challenger begins with short chains. Few of its texts are long, but it knows how a long one ends: else
it cannot learn to ask longer ones without exceeding its token limit."""
EMBEDDING_STD = 0.1
"""Of the vectors that embeddings are spelt with; large enough not to be washed away by Adam's steps."""
LENGTH_GROUPS = 2
"""A batch is sorted by length and run in this many parts, so that little of it is padding."""


class Texts:
    """An endless stream of (prompt, completion) pairs in both roles, decided by the seed alone.

    The Solver reads more than the Challenger writes, chains of two terms more and such as drift anywhere: one
    that ends its sums where its own text ended would be wrong in the same way each time, and its Challenger
    would ask for nothing but that.
    """

    def __init__(self, config: TinyModelConfig, seed: int) -> None:
        self._config = config
        self._rng = random.Random(f"rzero tiny text {seed}")
        self._solver_lengths = arithmetic.geometric_lengths(config.solver_terms + 2, SOLVER_LENGTH_DECAY)
        self._challenger_lengths = arithmetic.short_lengths(
            config.solver_terms, CHALLENGER_LENGTH_SPREAD, CHALLENGER_LONG_SHARE
        )
        self._excluded = frozenset(
            chain.key for chain in arithmetic.held_out(config.solver_terms, config.held_out_per_length)
        )

    def next(self) -> tuple[str, str]:
        rng, config = self._rng, self._config
        if rng.random() < config.challenger_share:
            chain = arithmetic.unseen_chain(rng, self._challenger_lengths, self._excluded)
            return CHALLENGER, f"<question>{chain.question}</question>\\boxed{{{chain.value}}}{END}"
        drifting = rng.random() < DRIFTING_SHARE
        chain = arithmetic.unseen_chain(rng, self._solver_lengths, self._excluded, drifting)
        if rng.random() < config.straying_share:
            chain = self._straying()
        solution = arithmetic.solution(chain, rng, config.noise, config.parts_share)
        return f"{SOLVER}{chain.question}\n", f"{solution}{END}"

    def _straying(self) -> arithmetic.Chain:
        while True:
            length = arithmetic.random_length(self._rng, self._solver_lengths)
            chain = arithmetic.straying_chain(self._rng, length)
            # A held-out chain may leave the range in another order of its steps.
            if chain.key not in self._excluded:
                return chain


def pretrain(config: TinyModelConfig, seed: int, output_dir: Path, threads: int, report: Report) -> None:
    """Train a new model and write it to `output_dir` as a Hugging Face model directory.

    `report(step, metrics)` is called after each step with the loss (nats per token), the
    gradient's norm and the learning rate. Byte-identical output for the same arguments.
    """
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(threads)
    tokenizer = build_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = new_model(tokenizer)
        _spell_embeddings(model)
    texts = Texts(config, seed)
    optimizers = _optimizers(model)
    for step in range(1, config.training_steps + 1):
        factor = learning_rate_factor(step, config.training_steps)
        batch = _encode(tokenizer, [texts.next() for _ in range(config.batch_size)])
        loss = _backward(model, batch, tokenizer.pad_token_id)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_CLIP).item()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor
            optimizer.step()
        model.zero_grad(set_to_none=True)
        report(step, {"loss": loss, "gradient_norm": norm, "learning_rate": MATRIX_LEARNING_RATE * factor})
    output_dir.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(output_dir)
    tokenizer.save_pretrained(output_dir)


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A small Llama with the tokenizer's vocabulary, weights drawn from torch's global generator."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN_SIZE,
        intermediate_size=INTERMEDIATE_SIZE,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=MODEL_MAX_LENGTH,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        dtype="float32",
    )
    model = LlamaForCausalLM(config)
    # Faster than the fused one at this size.
    model.set_attn_implementation("eager")
    model.generation_config = GenerationConfig(
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id
    )
    return model


def _spell_embeddings(model: LlamaForCausalLM) -> None:
    """Start each token's embedding as the sum of vectors of its characters, counted from the right.

    `42`, `=42` and `52` then share what they share in writing, and adding in decimal is soon learnt; with
    a vector of its own for each token, every one of the sums has to be learnt separately.
    """
    import torch

    weight = model.model.embed_tokens.weight
    vectors: dict[tuple[int, str], torch.Tensor] = {}
    with torch.no_grad():
        for index, token in enumerate(vocabulary()):
            # A named token such as <eos> or \\boxed{ is one character.
            is_named = len(token) > 1 and token[0] in "<\\"
            characters = [token] if is_named else list(reversed(token))
            for place in enumerate(characters):
                if place not in vectors:
                    vectors[place] = torch.randn(weight.shape[1]) * EMBEDDING_STD
            weight[index] = sum(vectors[place] for place in enumerate(characters))


def learning_rate_factor(step: int, steps: int) -> float:
    """Of the peak, at a step from 1: a linear warm-up, a plateau, a linear decay to the last step."""
    left = (steps - step) / max(1.0, DECAY_SHARE * steps)
    decay = LAST_LEARNING_RATE + (1 - LAST_LEARNING_RATE) * min(1.0, left)
    return min(step / WARM_UP_STEPS, 1.0) * decay


def _optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    import torch

    from data.tiny.muon import Muon

    inner = [p for name, p in model.named_parameters() if p.ndim == 2 and ".layers." in name]
    chosen = {id(parameter) for parameter in inner}
    others = [p for p in model.parameters() if id(p) not in chosen]
    optimizers: list[torch.optim.Optimizer] = [
        Muon(inner, lr=MATRIX_LEARNING_RATE),
        torch.optim.AdamW(others, lr=OTHER_LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def _encode(tokenizer: PreTrainedTokenizerFast, texts: list[tuple[str, str]]) -> list[list[int]]:
    """Token ids of each text, prompt and completion, shortest first."""
    rows = tokenizer([prompt + completion for prompt, completion in texts], add_special_tokens=False)
    return sorted(rows["input_ids"], key=len)


def _backward(model: LlamaForCausalLM, rows: list[list[int]], pad: int) -> float:
    """Accumulate the gradient of the mean loss over the batch's tokens; that mean, in nats.

    The questions in the Solver's prompts count too: from them the model learns how a question is written.
    """
    import torch

    tokens = sum(len(row) - 1 for row in rows)
    part, total = -(-len(rows) // LENGTH_GROUPS), 0.0
    for first in range(0, len(rows), part):
        group = rows[first : first + part]
        width = len(group[-1])
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in group])
        labels = torch.tensor([row[1:] + [-100] * (width - len(row)) for row in group])
        # Padding is on the right, where the causal mask hides it from every token that counts.
        logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=-100, reduction="sum"
        )
        (loss / tokens).backward()
        total += loss.item()
    return total / tokens
