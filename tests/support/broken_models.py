"""Model directories that are broken in one way each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.tiny.pretrain import new_model
from data.tiny.tokenizer import build_tokenizer

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"


def whole_model(folder: Path) -> Path:
    """A model that loads."""
    tokenizer = build_tokenizer()
    new_model(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _text(name: str, text: str | bytes) -> Callable[[Path], None]:
    return lambda folder: (
        ((folder / name).write_bytes(text) if isinstance(text, bytes) else (folder / name).write_text(text))
        and None
    )


def _without(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def _json(name: str, **changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / name
        values = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(values | changes))

    return change


def _header(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """Change the header of the weights, and leave their bytes."""

    def rewrite(folder: Path) -> None:
        content = (folder / WEIGHTS).read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:end])
        change(header)
        text = json.dumps(header).encode()
        (folder / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + content[end:])

    return rewrite


def _first(header: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(value for name, value in header.items() if name != "__metadata__")
    return found


def _cut(share: float) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = (folder / WEIGHTS).read_bytes()
        (folder / WEIGHTS).write_bytes(content[: int(share * len(content))])

    return change


def _index(weight_map: Any) -> Callable[[Path], None]:
    return _text(INDEX, json.dumps({"weight_map": weight_map}))


def _folder(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


BROKEN: dict[str, Callable[[Path], None]] = {
    "no config": _without("config.json"),
    "config is a list": _text("config.json", "[]"),
    "config is a number": _text("config.json", "7"),
    "config is null": _text("config.json", "null"),
    "config is binary": _text("config.json", b"\xff\xfe\x00"),
    "config is empty": _text("config.json", ""),
    "config nested deep": _text("config.json", "[" * 100_000),
    "config object nested deep": _text("config.json", '{"a":' * 100_000),
    "config is a folder": _folder("config.json"),
    "no architecture": _json("config.json", architectures=None),
    "architecture is a word": _json("config.json", architectures="LlamaForCausalLM"),
    "another architecture": _json("config.json", architectures=["BertModel\x1b[2J"]),
    "architectures of numbers": _json("config.json", architectures=[1, {}]),
    "vocabulary is a word": _json("config.json", vocab_size="many"),
    "no layers": _json("config.json", num_hidden_layers=0),
    "more layers": _json("config.json", num_hidden_layers=99),
    "a billion layers": _json("config.json", num_hidden_layers=10**12),
    "other hidden size": _json("config.json", hidden_size=4096),
    "other vocabulary": _json("config.json", vocab_size=151_936),
    "other inner size": _json("config.json", intermediate_size=7),
    "negative heads": _json("config.json", num_attention_heads=-2),
    "no weights": _without(WEIGHTS),
    "weights are a folder": _folder(WEIGHTS),
    "weights are empty": _text(WEIGHTS, b""),
    "weights are text": _text(WEIGHTS, "version https://git-lfs.github.com/spec/v1"),
    "weights cut in the header": _cut(0.001),
    "weights cut in the middle": _cut(0.5),
    "weights cut at the end": _cut(0.999),
    "a huge header": _text(WEIGHTS, (2**63).to_bytes(8, "little") + b"{}"),
    "a header of 90 MB in 12 bytes": _text(WEIGHTS, (90_000_000).to_bytes(8, "little") + b"{}  "),
    "header is a list": _text(WEIGHTS, (4).to_bytes(8, "little") + b"[1] "),
    "header nested deep": _text(WEIGHTS, (10**5).to_bytes(8, "little") + b"[" * 10**5),
    "header of words": _header(lambda header: header.update(x="y")),
    "unknown dtype": _header(lambda header: _first(header).update(dtype="Q7")),
    "dtype is a list": _header(lambda header: _first(header).update(dtype=[])),
    "shape is a word": _header(lambda header: _first(header).update(shape="12")),
    "shape is negative": _header(lambda header: _first(header).update(shape=[-1, -1])),
    "shape is huge": _header(lambda header: _first(header).update(shape=[2**60, 2**60])),
    "offsets beyond": _header(lambda header: _first(header).update(data_offsets=[0, 2**61])),
    "offsets reversed": _header(lambda header: _first(header).update(data_offsets=[8, 0])),
    "three offsets": _header(lambda header: _first(header).update(data_offsets=[0, 1, 2])),
    "no offsets": _header(lambda header: _first(header).pop("data_offsets")),
    "a weight less": _header(lambda header: header.pop("model.norm.weight")),
    "a hole": _header(lambda header: header.pop(next(name for name in header if name[0] != "_"))),
    "bytes behind the weights": lambda folder: (folder / WEIGHTS).open("ab").write(b"x") and None,
    "index is a list": _text(INDEX, "[]"),
    "index without a map": _text(INDEX, "{}"),
    "index is empty": _index({}),
    "index names numbers": _index({"a": 7}),
    "index names a file outside": _index({"a": "../model.safetensors"}),
    "index names an absolute file": _index({"a": "/etc/passwd"}),
    "index names a file with NUL": _index({"a": "a\0.safetensors"}),
    "index names what is not there": _index({"a": "other.safetensors"}),
    "index names a pickle": _index({"a": "pytorch_model.bin"}),
    "index names another tensor": _index({"nobody": WEIGHTS}),
    "no tokenizer": _without("tokenizer.json"),
    "tokenizer is a list": _text("tokenizer.json", "[]"),
    "tokenizer is empty": _text("tokenizer.json", "{}"),
    "tokenizer without vocabulary": _text("tokenizer.json", '{"model": {"type": "BPE"}}'),
    "tokenizer nested deep": _text("tokenizer.json", "[" * 100_000),
    "tokenizer is binary": _text("tokenizer.json", b"\x80\x04"),
    "tokenizer config is a list": _text("tokenizer_config.json", "[]"),
    "generation config is a list": _text("generation_config.json", "[]"),
    "generation config is cut": _text("generation_config.json", '{"eos_token_id":'),
    "template does not end": _json("tokenizer_config.json", chat_template="{% for m in messages %}"),
    "template is a number": _json("tokenizer_config.json", chat_template=7),
    "templates of numbers": _json("tokenizer_config.json", chat_template=[1]),
    "template of an unknown tag": _text("chat_template.jinja", "{% nonsense %}"),
    "template is binary": _text("chat_template.jinja", b"\xff\xfe"),
    "template nested deep": _text("chat_template.jinja", "{{" + "(" * 20_000 + "}}"),
}


def broken_model(whole: Path, how: str, folder: Path) -> Path:
    """A copy of a model, broken as `BROKEN` says."""
    shutil.copytree(whole, folder)
    BROKEN[how](folder)
    return folder
