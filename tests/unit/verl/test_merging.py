"""Shards and adapters back into the weights of a Hugging Face model."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from infra.trainers.verl.merge import plain_weights, write_merged  # noqa: E402


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A random model in bfloat16 with a tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=16,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=1,
    )
    folder = tmp_path / "source"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    return folder


def _saved_by_verl(actor: Path, weights: dict[str, object]) -> None:
    actor.mkdir()
    torch.save(weights, actor / "model_world_size_1_rank_0.pt")


def test_the_merged_model_has_the_trained_weights_in_the_sources_dtype_and_its_files(
    source: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    trained = {name: value + 0.5 for name, value in model.state_dict().items() if name != "lm_head.weight"}
    _saved_by_verl(tmp_path / "actor", trained)
    write_merged(tmp_path / "actor", source, tmp_path / "merged", 0.0)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto")
    assert merged.dtype == torch.bfloat16
    for name, value in trained.items():
        assert torch.equal(merged.state_dict()[name], value.to(torch.bfloat16)), name
    assert torch.equal(merged.lm_head.weight, merged.model.embed_tokens.weight)
    for name in ("config.json", "tokenizer.json"):
        assert (tmp_path / "merged" / name).read_bytes() == (source / name).read_bytes()


def test_weights_of_another_model_are_refused(source: Path, tmp_path: Path) -> None:
    _saved_by_verl(tmp_path / "actor", {"model.embed_tokens.weight": torch.zeros(16, 8)})
    with pytest.raises(ValueError, match="are not the model's: missing"):
        write_merged(tmp_path / "actor", source, tmp_path / "merged", 0.0)


def test_adapters_are_folded_into_the_matrices_they_adapt() -> None:
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(6, 4, generator=generator)
    down, up = torch.randn(2, 4, generator=generator), torch.randn(6, 2, generator=generator)
    prefix = "base_model.model.model.layers.0.self_attn.q_proj"
    plain = plain_weights(
        {
            f"{prefix}.base_layer.weight": base,
            f"{prefix}.base_layer.bias": torch.ones(6),
            f"{prefix}.lora_A.default.weight": down,
            f"{prefix}.lora_B.default.weight": up,
            "base_model.model.model.norm.weight": torch.ones(4),
        },
        lora_scale=0.5,
    )
    name = "model.layers.0.self_attn.q_proj"
    assert set(plain) == {f"{name}.weight", f"{name}.bias", "model.norm.weight"}
    torch.testing.assert_close(plain[f"{name}.weight"], base + 0.5 * up @ down)
