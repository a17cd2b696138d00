"""What trainings and engines take of a GPU, held against figures that were worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config import BaseModelConfig
from data.resolve import resolve, yaml_names
from data.tiny import pretrain
from data.tiny.tokenizer import MODEL_MAX_LENGTH, vocabulary
from infra.plan.memory import (
    Training,
    checkpoint,
    engine_gpu,
    host_node,
    kv_tokens,
    rollout_gpu,
    training_gpu,
    work_disk,
)
from infra.plan.shape import Shape, shape_of_base

FOUR, EIGHT = (shape_of_base(BaseModelConfig(name=f"Qwen/Qwen3-{size}B-Base")) for size in (4, 8))
ROLLOUT_TOKENS = 4290
SOLVER_BESIDE = 0.3 * 80e9


@pytest.mark.parametrize(
    ("shape", "ranks", "beside", "states", "totals"),
    [
        (FOUR, 8, 0.0, 8, (66, 40, 27)),
        (FOUR, 4, 0.0, 16, (74, 48, 35)),
        (FOUR, 2, 0.0, 32, (90, 64, 51)),
        (FOUR, 1, SOLVER_BESIDE, 64, (147, 122, 109)),
        (EIGHT, 4, 0.0, 33, (94, 68, 54)),
    ],
)
def test_with_whole_logits_a_gpu_takes_what_was_worked_out_by_hand(
    shape: Shape, ranks: int, beside: float, states: float, totals: tuple[float, ...]
) -> None:
    for rollouts, total in zip((4, 2, 1), totals, strict=True):
        parts = training_gpu(shape, Training(ranks, rollouts * ROLLOUT_TOKENS, has_whole_logits=True))
        assert sum(parts[name] for name in ("weights", "gradients", "adam")) / 1e9 == pytest.approx(
            states, 0.05
        )
        assert (sum(parts.values()) + beside) / 1e9 == pytest.approx(total, rel=0.15)


@pytest.mark.parametrize(
    ("preset", "billions"),
    [
        ("qwen3-4b", 4.02),
        ("qwen3-8b", 8.19),
        ("octothinker-3b", 3.21),
        ("octothinker-8b", 8.03),
        ("smollm2-135m", 0.1345),
    ],
)
def test_the_presets_models_have_as_many_parameters_as_their_names_say(preset: str, billions: float) -> None:
    shape = shape_of_base(resolve("a", preset).base_model)
    assert shape.parameters / 1e9 == pytest.approx(billions, rel=0.005)


def test_every_presets_model_is_known() -> None:
    for preset in yaml_names("data.presets"):
        assert shape_of_base(resolve("a", preset).base_model).layers


def test_the_tiny_models_shape_is_that_of_its_pretraining() -> None:
    shape = shape_of_base(BaseModelConfig(name="tiny"))
    assert (shape.hidden, shape.layers, shape.heads) == (
        pretrain.HIDDEN_SIZE,
        pretrain.LAYERS,
        pretrain.HEADS,
    )
    assert (shape.inner, shape.vocabulary) == (pretrain.INTERMEDIATE_SIZE, len(vocabulary()))
    assert shape.longest_context == MODEL_MAX_LENGTH


def test_disk_and_host_take_what_was_worked_out_by_hand() -> None:
    one, eight = Training(1, 8192), Training(8, 8192)
    assert checkpoint(FOUR, one) / 1e9 == pytest.approx(48, rel=0.02)
    assert checkpoint(EIGHT, one) / 1e9 == pytest.approx(98, rel=0.02)
    assert 2 * work_disk(FOUR, one) / 1e9 == pytest.approx(190, rel=0.02)
    # Every rank reads a tied model whole: 128 GB for a moment, and what eight ranks and engines take anyway.
    assert host_node(FOUR, eight, 1, 8, has_reference=False) / 1e9 == pytest.approx(128 + 64, rel=0.05)


def test_nothing_of_an_offloaded_training_stays_on_the_gpu() -> None:
    parts = training_gpu(FOUR, Training(1, 8192, "always"))
    assert parts["weights"] == parts["gradients"] == parts["adam"] == 0
    assert sum(parts.values()) < 20e9 < sum(training_gpu(FOUR, Training(1, 8192)).values())
    assert rollout_gpu(FOUR, Training(1, 8192)).keys() - rollout_gpu(FOUR, Training(1, 8192, "between_steps"))


SHAPES = st.sampled_from([FOUR, EIGHT])
RANKS = st.sampled_from([1, 2, 4, 8, 16, 32])
TOKENS = st.integers(1024, 40_000)
OFFLOADS = st.sampled_from(["never", "between_steps", "always"])


@given(SHAPES, RANKS, TOKENS, OFFLOADS, st.sampled_from([0, 32]))
def test_more_gpus_never_take_more_of_each(
    shape: Shape, ranks: int, tokens: int, offload: str, rank: int
) -> None:
    one, twice = (Training(count, tokens, offload, rank) for count in (ranks, 2 * ranks))  # type: ignore[arg-type]
    for use in (training_gpu, rollout_gpu):
        assert sum(use(shape, twice).values()) <= sum(use(shape, one).values())


@given(SHAPES, RANKS, TOKENS, OFFLOADS)
def test_more_tokens_never_take_less(shape: Shape, ranks: int, tokens: int, offload: str) -> None:
    few, many = (Training(ranks, count, offload) for count in (tokens, tokens + 1000))  # type: ignore[arg-type]
    assert sum(training_gpu(shape, few).values()) <= sum(training_gpu(shape, many).values())


@given(SHAPES, RANKS, TOKENS)
def test_adapters_take_less_than_all_weights(shape: Shape, ranks: int, tokens: int) -> None:
    whole, adapted = Training(ranks, tokens), Training(ranks, tokens, lora_rank=32)
    assert sum(training_gpu(shape, adapted).values()) < sum(training_gpu(shape, whole).values())


@given(SHAPES, st.sampled_from([1, 2, 4, 8]), st.floats(10, 140))
def test_engines_over_more_gpus_hold_more_tokens(shape: Shape, tensor_parallel: int, gib: float) -> None:
    assert engine_gpu(shape, 2 * tensor_parallel) < engine_gpu(shape, tensor_parallel)
    one, two = (kv_tokens(shape, count, gib * 2**30) for count in (tensor_parallel, 2 * tensor_parallel))
    assert one <= two
