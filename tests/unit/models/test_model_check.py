"""A broken model directory is one line before anything is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.models.check import ModelDirectoryError, check_model_directory, safetensors_shapes
from tests.support.broken_models import BROKEN, broken_model, whole_model


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return whole_model(tmp_path_factory.mktemp("models") / "whole")


def test_a_whole_model_passes_and_its_shapes_are_those_of_its_weights(whole: Path) -> None:
    from safetensors import safe_open

    assert check_model_directory(whole) == json.loads((whole / "config.json").read_text())
    with safe_open(whole / "model.safetensors", "pt") as weights:
        names = {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118
    assert safetensors_shapes(whole / "model.safetensors") == names


def test_a_model_in_shards_and_a_template_that_marks_generations_pass(whole: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(whole).save_pretrained(tmp_path, max_shard_size="100KB")
    (tmp_path / "tokenizer.json").write_bytes((whole / "tokenizer.json").read_bytes())
    template = (
        "{% for m in messages %}{% generation %}{{ m.content }}{%- endgeneration -%}{% break %}{% endfor %}"
    )
    (tmp_path / "chat_template.jinja").write_text(template)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert check_model_directory(tmp_path)["model_type"] == "llama"


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_model_is_one_line(how: str, whole: Path, tmp_path: Path) -> None:
    folder = broken_model(whole, how, tmp_path / "m")
    with pytest.raises(ModelDirectoryError) as refused:
        check_model_directory(folder)
    said = str(refused.value)
    assert said.isprintable()
    assert str(folder) in said
    assert len(said.replace(str(tmp_path), "")) < 250


def test_the_check_imports_no_torch(whole: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from infra.models.check import check_model_directory\n"
        f"check_model_directory(Path({str(whole)!r}))\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
