"""Whether a directory holds a causal language model, judged by its small files and its weights' headers.

Without torch, and before anything is loaded, copied or started.
"""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

from data.foreign import one_line, read_json

Shapes = dict[str, tuple[int, ...]]

_CAUSAL = ("ForCausalLM", "LMHeadModel")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")
_OBJECTS = (
    *("generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("tokenizer.json", "vocab.json"),
)
"""Files that hold a JSON object, where they are there."""
_INDEX = "model.safetensors.index.json"
_MOST_BYTES = 100_000_000
"""Of a file of JSON, and of the header of safetensors, as their format has it."""
_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F4",), 4),
}
_PLAIN_DECODERS = ("llama", "mistral", "qwen2", "qwen3")
"""Model types whose tensors have the names and shapes of `_expected`."""


class ModelDirectoryError(ValueError):
    """A directory that holds no causal language model with its tokenizer."""


def check_model_directory(model_dir: Path) -> dict[str, Any]:
    """The model's config.json; ModelDirectoryError, in one line, if engines cannot load the directory."""
    config_file = model_dir / "config.json"
    if not config_file.is_file():
        problem = "has no config.json" if model_dir.is_dir() else "is not a directory"
        raise ModelDirectoryError(f"{model_dir} {problem}: a Hugging Face model directory is needed")
    config = _object(config_file)
    architectures = config.get("architectures")
    names = [str(name) for name in architectures] if isinstance(architectures, list) else []
    if not any(name.endswith(_CAUSAL) for name in names):
        shown = one_line(", ".join(names) or str(config.get("model_type", "nothing known")), 80)
        raise ModelDirectoryError(f"{model_dir} holds no causal language model but {shown}")
    shapes = _shapes(model_dir)
    for name, expected in _expected(model_dir, config, shapes).items():
        if shapes[name] != expected:
            raise ModelDirectoryError(
                f"{model_dir}: {one_line(name, 80)} has the shape {list(shapes[name])}, config.json says "
                f"{list(expected)}"
            )
    _check_tokenizer(model_dir)
    return config


def longest_context(config: dict[str, Any]) -> int | None:
    """Tokens of prompt and completion that the model was made for; None if it does not say."""
    value = config.get("max_position_embeddings")
    return value if isinstance(value, int) and value > 0 else None


def parameter_count(model_dir: Path) -> int:
    """Numbers in the weights, from their headers; tied ones count once."""
    return sum(math.prod(shape) for shape in _shapes(model_dir).values())


def safetensors_shapes(file: Path) -> Shapes:
    """The shape of each tensor, by name, from the header alone.

    ModelDirectoryError where the file is not whole. The format: 8 bytes with the header's length, the header
    as JSON, then the tensors' bytes without gaps.
    """
    try:
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            length = int.from_bytes(stream.read(8), "little")
            if size < 10 or length > min(size - 8, _MOST_BYTES):
                raise ValueError("it is cut, or its header is too long")
            header = read_json(stream.read(length))
        if not isinstance(header, dict):
            raise ValueError("its header is no JSON object")
        header.pop("__metadata__", None)
        end = 0
        for name, tensor in sorted(header.items(), key=lambda item: _offsets(item[1])):
            begin, after = _offsets(tensor)
            if begin != end or (after - begin) * 8 != math.prod(tensor["shape"]) * _BITS[tensor["dtype"]]:
                raise ValueError(f"the bytes of {one_line(name, 80)} are not where its header says")
            end = after
        if end != size - 8 - length:
            raise ValueError(f"it has {size - 8 - length} bytes of weights, its header says {end}")
        return {name: tuple(tensor["shape"]) for name, tensor in header.items()}
    except (KeyError, TypeError):
        raise ModelDirectoryError(f"{file} is not whole: its header describes no tensors") from None
    except (OSError, ValueError) as error:
        raise ModelDirectoryError(f"{file} is not whole: {_reason(error)}") from None


def _offsets(tensor: Any) -> tuple[int, int]:
    """Where a tensor begins and ends; ValueError, TypeError or KeyError for what is none."""
    numbers = [*tensor["shape"], *tensor["data_offsets"]]
    if len(tensor["data_offsets"]) != 2 or not all(type(n) is int and 0 <= n < 2**62 for n in numbers):
        raise ValueError("its header describes no tensors")
    begin, end = tensor["data_offsets"]
    return begin, end


def _shapes(model_dir: Path) -> Shapes:
    """The shapes of all weights that engines would load."""
    index = model_dir / _INDEX
    if not index.is_file():
        if not (model_dir / "model.safetensors").is_file():
            raise ModelDirectoryError(f"{model_dir} has no .safetensors files: engines load no other weights")
        return safetensors_shapes(model_dir / "model.safetensors")
    places = _object(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise ModelDirectoryError(f"{index} has no weight_map")
    shapes: Shapes = {}
    for name in sorted({str(file) for file in places.values()}):
        if name != Path(name).name or not name.endswith(".safetensors") or "\0" in name:
            raise ModelDirectoryError(f"{index} names {one_line(repr(name), 80)}, which is no file beside it")
        if not (model_dir / name).is_file():
            raise ModelDirectoryError(f"{model_dir} has no {one_line(name, 80)}, which its index names")
        found = safetensors_shapes(model_dir / name)
        if missing := [tensor for tensor, file in places.items() if file == name and tensor not in found]:
            raise ModelDirectoryError(f"{model_dir / name} has no {one_line(missing[0], 80)}")
        shapes |= found
    return shapes


def _expected(model_dir: Path, config: dict[str, Any], shapes: Shapes) -> Shapes:
    """The shapes that config.json gives to those of the tensors whose meaning is known."""
    if config.get("model_type") not in _PLAIN_DECODERS or "quantization_config" in config:
        return {}

    def number(name: str, default: int | None = None) -> int:
        value = config.get(name, default)
        if value is None:
            value = default
        if type(value) is not int or value < 1:
            raise ModelDirectoryError(
                f"{model_dir / 'config.json'}: {name} is {one_line(repr(value), 40)}, not a number from 1"
            )
        return value

    hidden, vocabulary, layers = number("hidden_size"), number("vocab_size"), number("num_hidden_layers")
    heads, inner = number("num_attention_heads"), number("intermediate_size")
    width = number("head_dim", max(1, hidden // heads))
    values = number("num_key_value_heads", heads) * width
    by_ending = {
        "embed_tokens.weight": (vocabulary, hidden),
        "lm_head.weight": (vocabulary, hidden),
        "norm.weight": (hidden,),
        "input_layernorm.weight": (hidden,),
        "self_attn.q_proj.weight": (heads * width, hidden),
        "self_attn.k_proj.weight": (values, hidden),
        "self_attn.v_proj.weight": (values, hidden),
        "self_attn.o_proj.weight": (hidden, heads * width),
        "mlp.gate_proj.weight": (inner, hidden),
        "mlp.up_proj.weight": (inner, hidden),
        "mlp.down_proj.weight": (hidden, inner),
    }
    endings = "|".join(map(re.escape, by_ending))
    pattern = re.compile(rf"(?:model\.)?(?:layers\.\d+\.)?({endings})")
    there = {int(match[1]) for name in shapes if (match := re.match(r"model\.layers\.(\d+)\.", name))}
    if len(there) != layers or max(there) != layers - 1:
        raise ModelDirectoryError(f"{model_dir} has {len(there)} layers, its config.json says {layers}")
    of_layers = [end for end in by_ending if end.startswith(("input_", "self_attn.", "mlp."))]
    needed = [f"model.layers.{layer}.{ending}" for layer in range(layers) for ending in of_layers]
    if lacking := [name for name in ("model.embed_tokens.weight", *needed) if name not in shapes]:
        raise ModelDirectoryError(f"{model_dir}: the weights lack {lacking[0]} and {len(lacking) - 1} more")
    found = {name: pattern.fullmatch(name) for name in shapes}
    return {name: by_ending[match[1]] for name, match in found.items() if match}


def _check_tokenizer(model_dir: Path) -> None:
    objects = {name: _object(model_dir / name) for name in _OBJECTS if (model_dir / name).is_file()}
    if not any((model_dir / name).is_file() for name in _TOKENIZERS):
        raise ModelDirectoryError(f"{model_dir} has no tokenizer")
    model = objects.get("tokenizer.json", {"model": {"vocab": True}}).get("model")
    if not isinstance(model, dict) or not model.get("vocab"):
        raise ModelDirectoryError(f"{model_dir / 'tokenizer.json'} is no tokenizer: it has no vocabulary")
    given = objects.get("tokenizer_config.json", {}).get("chat_template")
    named = given if isinstance(given, list) else [{"template": given}]
    templates = [each.get("template") if isinstance(each, dict) else 0 for each in named]
    file = model_dir / "chat_template.jinja"
    try:
        templates += [file.read_text()] if file.is_file() else []
        for template in templates:
            if template is not None:
                _check_template(template)
    except (OSError, ValueError) as error:
        raise ModelDirectoryError(f"{model_dir}: its chat template is broken: {_reason(error)}") from None


def _check_template(template: Any) -> None:
    """ValueError where a chat template cannot be read; it is not run."""
    import jinja2

    if not isinstance(template, str):
        raise ValueError("it is no text")
    # A block that transformers adds to the language.
    plain = re.sub(r"{%[-+]?\s*(end)?generation\s*[-+]?%}", "", template)
    try:
        jinja2.Environment(extensions=["jinja2.ext.loopcontrols"]).parse(plain)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"line {error.lineno}: {one_line(error.message or '', 100)}") from None
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _object(file: Path) -> dict[str, Any]:
    """The object in a file of JSON."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ValueError("it is larger than any such file")
        value = read_json(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelDirectoryError(f"{file} cannot be read: {_reason(error)}") from None
    if not isinstance(value, dict):
        raise ModelDirectoryError(f"{file} holds no JSON object but {one_line(json.dumps(value), 40)}")
    return value


def _reason(error: OSError | ValueError) -> str:
    return (
        os.strerror(error.errno) if isinstance(error, OSError) and error.errno else one_line(str(error), 160)
    )
