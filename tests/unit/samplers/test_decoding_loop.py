"""The decode loop against transformers' own `generate`, on small random models of several families."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator

import pytest
import torch
import transformers
from transformers import PreTrainedModel

from infra.machine.memory import OutOfMemory
from infra.samplers.decoding.keyvalue import has_plain_attention
from infra.samplers.decoding.loop import Decoded, Room, decode
from infra.samplers.protocol import SamplingParams

VOCABULARY, PAD = 64, 0
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
FAMILIES = {
    "llama": ("Llama", SMALL | {"attn_implementation": "eager"}),
    "llama-sdpa": ("Llama", SMALL | {"attn_implementation": "sdpa"}),
    "qwen3": ("Qwen3", SMALL | {"head_dim": 8}),
    "mistral-sliding-window": ("Mistral", SMALL | {"sliding_window": 5}),
    "gemma3-mixed-layers": (
        "Gemma3",
        SMALL | {"head_dim": 8, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "gpt2-learned-positions": (
        "GPT2",
        {"vocab_size": VOCABULARY, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4},
    ),
    "bloom-alibi": ("Bloom", {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "mamba-no-attention": (
        "Mamba",
        {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
    ),
}
PROMPTS = [[5, 9, 11], [7], [3, 4, 5, 6, 7, 8, 9, 10], [12, 13, 14], [9, 8, 7, 6, 5]]


def random_model(family: str) -> PreTrainedModel:
    """A model whose logits are far enough apart for rounding not to matter."""
    name, settings = FAMILIES[family]
    kind = f"{name}ForCausalLM" if hasattr(transformers, f"{name}ForCausalLM") else f"{name}LMHeadModel"
    config_name = f"{name}TextConfig" if hasattr(transformers, f"{name}TextConfig") else f"{name}Config"
    special = {"pad_token_id": PAD, "eos_token_id": None, "bos_token_id": None}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = getattr(transformers, kind)(getattr(transformers, config_name)(**settings, **special))
        for parameter in model.parameters():
            if parameter.ndim == 2:
                torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def greedy_by_generate(model: PreTrainedModel, prompt: list[int], eos: list[int], tokens: int) -> list[int]:
    out = model.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
        max_new_tokens=tokens,
        do_sample=False,
        eos_token_id=eos or None,
        pad_token_id=PAD,
    )
    return out[0, len(prompt) :].tolist()


def run(
    model: PreTrainedModel,
    prompts: list[list[int]],
    params: SamplingParams,
    seeds: list[int] | None = None,
    eos: tuple[int, ...] = (),
    batch_tokens: int = 4096,
) -> list[list[Decoded]]:
    return decode(model, prompts, params, seeds or list(range(len(prompts))), eos, PAD, Room(batch_tokens))


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_with_prompts_of_different_lengths_equals_generate_one_by_one(family: str) -> None:
    model = random_model(family)
    got = run(model, PROMPTS, SamplingParams(max_tokens=12, temperature=0.0))
    want = [greedy_by_generate(model, prompt, [], 12) for prompt in PROMPTS]
    assert [group[0].token_ids for group in got] == want
    assert {group[0].finish_reason for group in got} == {"length"}


def test_models_without_plain_attention_are_recognised() -> None:
    assert has_plain_attention(random_model("gemma3-mixed-layers").config)
    assert not has_plain_attention(random_model("mamba-no-attention").config)


def test_the_end_token_stops_a_row_and_is_kept_in_its_tokens() -> None:
    model = random_model("llama")
    free = [greedy_by_generate(model, prompt, [], 12) for prompt in PROMPTS]
    eos = free[0][3]
    got = run(model, PROMPTS, SamplingParams(max_tokens=12, temperature=0.0), eos=(eos, 63))
    for group, tokens in zip(got, free, strict=True):
        end = tokens.index(eos) + 1 if eos in tokens else None
        assert group[0] == (tokens[:end], "length" if end is None else "stop")


@pytest.mark.parametrize("top", [{}, {"top_k": 5}, {"top_p": 0.8}, {"temperature": 0.5}])
def test_a_prompts_completions_depend_on_its_seed_and_not_on_its_neighbours(top: dict[str, float]) -> None:
    model = random_model("llama")
    params = SamplingParams(max_tokens=16, samples=3, **top)  # type: ignore[arg-type]
    seeds = [11, 2**64 - 1, 0, 11, 5]
    together = run(model, PROMPTS, params, seeds, eos=(1, 2, 3))
    for index, prompt in enumerate(PROMPTS):
        assert run(model, [prompt], params, [seeds[index]], eos=(1, 2, 3)) == [together[index]]
    assert run(model, PROMPTS, params, seeds, eos=(1, 2, 3), batch_tokens=40) == together


def test_samples_of_a_prompt_and_seeds_differ() -> None:
    model = random_model("llama")
    groups = run(model, [[5, 6], [5, 6]], SamplingParams(max_tokens=8, samples=6), [1, 2])
    assert len({tuple(one.token_ids) for group in groups for one in group}) == 12
    assert run(model, [[5, 6]], SamplingParams(max_tokens=8, samples=6), [2]) == [groups[1]]


def test_asking_for_more_samples_keeps_the_first_ones() -> None:
    model = random_model("llama")
    few = run(model, [[5, 6]], SamplingParams(max_tokens=8, samples=2), [3])[0]
    assert run(model, [[5, 6]], SamplingParams(max_tokens=8, samples=5), [3])[0][:2] == few


def test_a_completion_ends_at_the_models_longest_position() -> None:
    model = random_model("llama")
    prompts = [[5] * 60, [6, 7]]
    got = run(model, prompts, SamplingParams(max_tokens=20, temperature=0.0))
    assert [len(group[0].token_ids) for group in got] == [4, 20]
    assert got[0][0].finish_reason == "length"


@pytest.mark.parametrize(
    ("prompt", "message"), [([], "prompt 0 is empty"), ([1] * 64, "the model reads at most 64")]
)
def test_prompts_that_cannot_be_run_are_refused(prompt: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(random_model("llama"), [prompt], SamplingParams(max_tokens=4))


def test_a_model_in_training_stays_in_training_and_its_weights_take_gradients_afterwards() -> None:
    model = random_model("llama").train()
    run(model, PROMPTS, SamplingParams(max_tokens=4))
    assert model.training
    model(input_ids=torch.tensor([PROMPTS[0]])).logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_no_prompts_give_no_completions() -> None:
    assert run(random_model("llama"), [], SamplingParams(max_tokens=4)) == []


def test_a_batch_that_does_not_fit_into_memory_is_drawn_in_pieces_with_the_same_tokens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = random_model("llama")
    params = SamplingParams(max_tokens=8, samples=6)
    together = run(model, PROMPTS, params)
    forward = type(model).forward
    rows: list[int] = []

    def small_device(self: PreTrainedModel, input_ids: torch.Tensor, **options: object) -> object:
        rows.append(len(input_ids))
        if len(input_ids) > 6:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, input_ids=input_ids, **options)

    small_device.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    monkeypatch.setattr(type(model), "forward", small_device)
    assert run(model, PROMPTS, params) == together
    too_many = [count for count in rows if count > 6]
    assert 0 < len(too_many) <= 4, "what did not fit once is not tried again with each batch"


def test_a_device_without_room_for_one_completion_is_an_error_that_says_what_to_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = random_model("llama")

    def no_room(*args: object, **options: object) -> object:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(type(model), "forward", no_room)
    with pytest.raises(OutOfMemory, match=r"one completion at a time .*try a smaller max_tokens"):
        run(model, PROMPTS, SamplingParams(max_tokens=8, samples=6))


@pytest.fixture
def torch_threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_batches_drawn_side_by_side_by_several_threads_are_those_of_one(
    torch_threads: Callable[[int], None],
) -> None:
    model = random_model("llama")
    prompts, params = PROMPTS * 4, SamplingParams(max_tokens=8, samples=3)
    torch_threads(1)
    alone = run(model, prompts, params)
    # Room for four rows at once in each of three threads, so that there are many batches.
    torch_threads(3)
    assert run(model, prompts, params, batch_tokens=3 * 4 * 16) == alone
    assert torch.get_num_threads() == 3


def test_threads_that_draw_side_by_side_share_the_room(
    torch_threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model("llama")
    forward, lock, held, most = type(model).forward, threading.Lock(), {}, []

    def counted(self: PreTrainedModel, input_ids: torch.Tensor, **options: object) -> object:
        with lock:
            held[threading.get_ident()] = len(input_ids)
            most.append(sum(held.values()))
        return forward(self, input_ids=input_ids, **options)

    counted.__signature__ = inspect.signature(forward)  # type: ignore[attr-defined]
    monkeypatch.setattr(type(model), "forward", counted)
    torch_threads(4)
    run(model, [PROMPTS[0]] * 40, SamplingParams(max_tokens=5, samples=2), batch_tokens=16 * 8)
    assert len(held) > 1
    assert max(most) <= 16


def test_what_fails_in_a_thread_is_told_and_the_batches_that_wait_are_not_drawn(
    torch_threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model("llama")
    batches: list[int] = []

    def broken(self: PreTrainedModel, input_ids: torch.Tensor, **options: object) -> object:
        batches.append(len(input_ids))
        raise ValueError("a broken model")

    monkeypatch.setattr(type(model), "forward", broken)
    torch_threads(2)
    with pytest.raises(ValueError, match="a broken model"):
        run(model, PROMPTS * 40, SamplingParams(max_tokens=8), batch_tokens=2 * 16)
    assert len(batches) < 150
    assert torch.get_num_threads() == 2
