"""The shape of a decoder from its config.json: how many numbers it holds, and what a token takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from data.foreign import one_line, read_json
from infra.models.check import ModelDirectoryError

if TYPE_CHECKING:
    from data.config import BaseModelConfig


@dataclass(frozen=True)
class Shape:
    """A decoder of the Llama and Qwen kind; all counts are of parameters unless they say otherwise."""

    name: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    inner: int
    vocabulary: int
    is_tied: bool
    longest_context: int

    @property
    def matrices(self) -> list[tuple[int, int]]:
        """Inputs and outputs of the matrices of a layer: queries, keys, values, output, gate, up, down."""
        queries, values = self.heads * self.head_width, self.kv_heads * self.head_width
        attention = [(self.hidden, queries), (self.hidden, values), (self.hidden, values)]
        feeding = [(self.hidden, self.inner), (self.hidden, self.inner), (self.inner, self.hidden)]
        return [*attention, (queries, self.hidden), *feeding]

    @property
    def layer(self) -> int:
        """A layer, without norms, which are a hundred-thousandth of it."""
        return sum(inputs * outputs for inputs, outputs in self.matrices)

    @property
    def embedding(self) -> int:
        """The embedding, and the head too where it is a matrix of its own."""
        return self.vocabulary * self.hidden * (1 if self.is_tied else 2)

    @property
    def parameters(self) -> int:
        """The whole model."""
        return self.layers * self.layer + self.embedding

    def adapters(self, rank: int) -> int:
        """LoRA's two factors of every matrix of the layers."""
        return self.layers * rank * sum(inputs + outputs for inputs, outputs in self.matrices)

    @property
    def kv_bytes_per_token(self) -> int:
        """Keys and values of a token in all layers, two bytes each."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_width


def shape_of(config: Mapping[str, Any], name: str) -> Shape:
    """The shape in the fields of a config.json; ModelDirectoryError where one is missing or no number."""

    def number(field: str, default: int | None = None) -> int:
        value = config.get(field)
        value = default if value is None else value
        if type(value) is not int or value < 1:
            raise ModelDirectoryError(
                f"{name}: config.json's {field} is {one_line(repr(value), 40)}, not a number from 1"
            )
        return value

    hidden, heads = number("hidden_size"), number("num_attention_heads")
    return Shape(
        name=name,
        hidden=hidden,
        layers=number("num_hidden_layers"),
        heads=heads,
        kv_heads=number("num_key_value_heads", heads),
        head_width=number("head_dim", max(1, hidden // heads)),
        inner=number("intermediate_size", 4 * hidden),
        vocabulary=number("vocab_size"),
        is_tied=config.get("tie_word_embeddings") is True,
        longest_context=number("max_position_embeddings", 2**31),
    )


def shape_of_base(base: BaseModelConfig) -> Shape:
    """The shape of a run's base model: of a local directory from its config.json, else from data/shapes.yaml.

    ModelDirectoryError where neither knows it.
    """
    known = yaml.safe_load(resources.files("data").joinpath("shapes.yaml").read_text(encoding="utf-8"))
    if base.name in known:
        return shape_of(known[base.name], base.name)
    file = Path(base.name).expanduser() / "config.json"
    if not file.is_file():
        raise ModelDirectoryError(
            f"base_model.name: the shape of {one_line(base.name, 80)} is not known before it is downloaded; "
            f"name a local directory with its config.json; known are {', '.join(sorted(known))}"
        )
    try:
        config = read_json(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelDirectoryError(f"{file} cannot be read: {one_line(str(error), 120)}") from None
    if not isinstance(config, dict):
        raise ModelDirectoryError(f"{file} holds no JSON object")
    return shape_of(config, base.name)
