"""Byte-level tokenizers with chat templates, in the form in which the paper's base models publish theirs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHATML = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' }}"
    "{%- if message.role == 'assistant' and loop.last %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{{- message.content.lstrip('\n') + '<|im_end|>' + '\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
"""Qwen's: the end of a turn, then a new line. Qwen3-Base's end of text is another token, `<|endoftext|>`."""
LLAMA = (
    "{{- bos_token }}{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' "
    "+ message['content'] | trim + '<|eot_id|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)
"""Llama 3's; a base model's end of text is `<|end_of_text|>`."""
QWEN_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LLAMA_TOKENS = (
    "<|end_of_text|>",
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
)


def chat_tokenizer(
    template: str | None, special: Sequence[str] = QWEN_TOKENS, added: Sequence[str] = (), **named: str
) -> Any:
    """Bytes, the special tokens (the first ends a text), and added tokens that are ordinary words."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({byte: index for index, byte in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens([AddedToken(token, normalized=False) for token in added])
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=special[0], **named)
    tokenizer.chat_template = template
    return tokenizer


def write_base_model(folder: Path, tokenizer: Any, likely: str, inner: int = 32) -> Path:
    """An untrained model whose configuration names the end of a text alone, and that often draws `likely`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=len(tokenizer),
                # Engines on a CPU want heads of 32.
                hidden_size=32,
                intermediate_size=inner,
                num_hidden_layers=1,
                num_attention_heads=1,
                max_position_embeddings=256,
                tie_word_embeddings=True,
                bos_token_id=None,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=None,
            )
        )
    with torch.no_grad():
        # One direction that whatever was read points to, and this token's logit most.
        embeddings = model.get_input_embeddings().weight
        embeddings[:, 0] = 0.2
        embeddings[tokenizer.convert_tokens_to_ids(likely), 0] = 0.95
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
