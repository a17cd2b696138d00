"""The transformers sampler on a model directory: texts, seeds, devices, and directories that are no model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from data.backends import TransformersSamplerConfig
from data.tiny.pretrain import new_model
from data.tiny.tokenizer import CHALLENGER, END, SOLVER, build_tokenizer
from infra.samplers import SamplingParams, open_sampler
from infra.samplers.transformers import ModelDirectoryError, TransformersSampler

CONFIG = TransformersSamplerConfig(device="cpu")
PROMPTS = [CHALLENGER, f"{SOLVER}37 a+5\n", f"{SOLVER}37 a+5 b-8 c+9\n", CHALLENGER]


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sampler") / "model"
    tokenizer = build_tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = new_model(tokenizer)
    with torch.no_grad():
        # Untrained logits are almost flat: make the end token likely enough to be seen.
        model.get_input_embeddings().weight[tokenizer.eos_token_id] *= 8
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_completions_carry_their_text_tokens_seed_and_reason(model_dir: Path) -> None:
    tokenizer = build_tokenizer()
    with open_sampler(CONFIG, model_dir) as sampler:
        groups = sampler.sample(PROMPTS, SamplingParams(max_tokens=40, samples=20), [4, 5, 6, 7])
    assert [len(group) for group in groups] == [20] * 4
    for group, prompt, seed in zip(groups, PROMPTS, [4, 5, 6, 7], strict=True):
        for one in group:
            assert one.seed == seed
            assert one.prompt_tokens == len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
            ended = one.token_ids[-1] == tokenizer.eos_token_id
            assert tokenizer.eos_token_id not in one.token_ids[:-1]
            assert one.finish_reason == ("stop" if ended else "length")
            assert ended or len(one.token_ids) == 40
            assert one.text + (END if ended else "") == "".join(
                tokenizer.convert_ids_to_tokens(list(one.token_ids))
            )
    reasons = {one.finish_reason for group in groups for one in group}
    assert reasons == {"stop", "length"}


def test_the_same_call_gives_the_same_completions_and_a_seed_is_all_that_tells_prompts_apart(
    model_dir: Path,
) -> None:
    params = SamplingParams(max_tokens=12, samples=3)
    with TransformersSampler(CONFIG, model_dir) as sampler:
        first = sampler.sample(PROMPTS, params, [1, 2, 3, 1])
        assert sampler.sample(PROMPTS, params, [1, 2, 3, 1]) == first
        assert first[0] == first[3]
        assert sampler.sample(PROMPTS, params, [9, 2, 3, 1])[0] != first[0]


def test_small_batches_give_the_same_completions_as_one(model_dir: Path) -> None:
    params = SamplingParams(max_tokens=12, samples=5)
    results = []
    for batch_tokens in (1, 60, 65536):
        config = CONFIG.model_copy(update={"batch_tokens": batch_tokens})
        with TransformersSampler(config, model_dir) as sampler:
            results.append(sampler.sample(PROMPTS, params, [1, 2, 3, 4]))
    assert results[0] == results[1] == results[2]


def test_bfloat16_weights_draw_too(model_dir: Path) -> None:
    with TransformersSampler(CONFIG.model_copy(update={"dtype": "bfloat16"}), model_dir) as sampler:
        assert len(sampler.sample([CHALLENGER], SamplingParams(max_tokens=3), [0])[0][0].token_ids) <= 3


def test_a_closed_sampler_says_so_and_may_be_closed_again(model_dir: Path) -> None:
    sampler = TransformersSampler(CONFIG, model_dir)
    sampler.close()
    sampler.close()
    with pytest.raises(RuntimeError, match="the sampler is closed"):
        sampler.sample([CHALLENGER], SamplingParams(max_tokens=3), [0])


def test_prompts_and_seeds_that_do_not_match_are_refused(model_dir: Path) -> None:
    with (
        TransformersSampler(CONFIG, model_dir) as sampler,
        pytest.raises(ValueError, match="2 prompts need as many seeds"),
    ):
        sampler.sample([CHALLENGER] * 2, SamplingParams(max_tokens=3), [0])


def test_no_prompts_need_no_model_run(model_dir: Path) -> None:
    with TransformersSampler(CONFIG, model_dir) as sampler:
        assert sampler.sample([], SamplingParams(max_tokens=3), []) == []


def one_line(folder: Path) -> str:
    with pytest.raises(ModelDirectoryError) as caught:
        TransformersSampler(CONFIG, folder)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    return message


def test_a_missing_directory_is_one_clear_line(tmp_path: Path) -> None:
    assert "is not a directory" in one_line(tmp_path / "nowhere")


def test_a_directory_without_a_model_is_one_clear_line(tmp_path: Path) -> None:
    assert "has no config.json" in one_line(tmp_path)


def test_a_model_that_is_no_causal_language_model_is_one_clear_line(tmp_path: Path) -> None:
    build_tokenizer().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit", "architectures": ["ViTModel"]}))
    assert "holds no causal language model" in one_line(tmp_path)


def test_pickled_weights_are_refused(model_dir: Path, tmp_path: Path) -> None:
    for path in model_dir.iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    torch.save({"lm_head.weight": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    assert "has no .safetensors files" in one_line(tmp_path)


def test_code_of_the_directory_is_never_run(tmp_path: Path) -> None:
    build_tokenizer().save_pretrained(tmp_path)
    auto = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": auto}))
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    one_line(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_importing_the_protocol_needs_no_torch() -> None:
    code = "import sys, infra.samplers; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
