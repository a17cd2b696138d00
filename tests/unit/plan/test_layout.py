"""Layouts that fit, those that are refused, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.backends import VerlTrainerConfig
from data.config import BaseModelConfig, RunConfig
from data.resolve import resolve
from infra.jobs.errors import DeviceCrash
from infra.models.check import ModelDirectoryError
from infra.plan.here import fitted_here
from infra.plan.layout import DoesNotFit, Room, fitted
from infra.plan.memory import GIB
from infra.plan.plan import Machine, Plan, planned
from infra.plan.shape import shape_of_base
from tests.support.nvidia_smi import write_nvidia_smi

MACHINES = {"8x80": Machine(8, 80), "8x40": Machine(8, 40), "4x80": Machine(4, 80), "1x80": Machine(1, 80)}
FOUR = resolve("a", "qwen3-4b")
# The part of Qwen3-4B's config.json that a plan reads.
CONFIG_JSON = {
    **{"hidden_size": 2560, "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8},
    **{"head_dim": 128, "intermediate_size": 9728, "vocab_size": 151936, "tie_word_embeddings": True},
    "max_position_embeddings": 32768,
}


def _plan(preset: str, machine: Machine, *overrides: str) -> Plan:
    config: RunConfig = resolve("a", preset, overrides)
    return planned(config, shape_of_base(config.base_model), machine)


def _offloads(plan: Plan) -> list[str]:
    return [stage.layout.training.offload for stage in plan.stages if stage.layout]


@pytest.mark.parametrize(
    ("preset", "machine", "offloads"),
    [
        ("qwen3-4b", "8x80", ["never", "never"]),
        ("qwen3-4b", "8x40", ["never", "never"]),
        ("qwen3-4b", "4x80", ["never", "never"]),
        ("qwen3-4b", "1x80", ["always", "always"]),
        ("qwen3-8b", "8x80", ["never", "never"]),
        ("qwen3-8b", "8x40", ["always", "never"]),
        ("qwen3-8b", "4x80", ["always", "never"]),
        ("qwen3-8b", "1x80", ["always", "always"]),
    ],
)
def test_the_papers_presets_fit_the_usual_machines_as_they_are(
    preset: str, machine: str, offloads: list[str]
) -> None:
    plan = _plan(preset, MACHINES[machine])
    assert plan.problems == []
    assert _offloads(plan) == offloads


def test_lora_fits_where_the_host_cannot_hold_what_the_gpu_cannot() -> None:
    machine = Machine(1, 80, host_gib=64)
    (problem, _) = _plan("qwen3-4b", machine).problems
    assert problem.startswith("train_challenger: a node needs")
    assert "LoRA (--preset PRESET+lora)" in problem
    assert _plan("qwen3-4b+lora", machine).problems == []


@pytest.mark.parametrize(
    ("preset", "machine", "told"),
    [
        (
            "qwen3-4b",
            Machine(1, 24),
            "the engine of the rollouts takes 10 GiB with one sequence, its share",
        ),
        ("qwen3-8b", Machine(2, 24), "what fits: 2 training GPUs or GPUs of 40 GiB"),
    ],
)
def test_what_cannot_fit_is_one_line_with_what_would(preset: str, machine: Machine, told: str) -> None:
    problem = _plan(preset, machine).problems[0]
    assert told in problem
    assert "\n" not in problem


def test_rollouts_that_cannot_be_shared_out_are_told_by_the_plan() -> None:
    assert _plan("qwen3-4b", Machine(6, 80)).problems == [
        "train_challenger: challenger: the 512 rollouts of an update cannot be shared among 3 GPUs",
        "train_solver: solver: the 640 rollouts of an update cannot be shared among 6 GPUs",
    ]
    assert _plan("qwen3-4b+official-code", MACHINES["8x80"]).problems == []


@pytest.mark.parametrize(("gpus", "memory_gib"), [(4, 40), (2, 80)])
def test_states_that_must_stay_on_the_gpu_are_refused_where_they_do_not_fit(
    gpus: int, memory_gib: int
) -> None:
    """8B parameters on two training GPUs of 40 GB were over by half, and nothing said so."""
    plan = _plan("qwen3-8b", Machine(gpus, memory_gib), "trainer.offload=never")
    assert "training takes" in plan.problems[0]


def test_a_model_that_no_engine_holds_is_spread_over_more_gpus() -> None:
    challenger = _plan("qwen3-8b", Machine(8, 24)).stages[0]
    assert challenger.layout is not None
    assert challenger.layout.tensor_parallel == 2


def test_a_pass_is_shortened_before_a_training_is_refused() -> None:
    shape = shape_of_base(FOUR.base_model)
    trainer = FOUR.trainer
    assert isinstance(trainer, VerlTrainerConfig)
    for gib, tokens in ((25, 16_384), (19, 8192)):
        layout = fitted(shape, FOUR.solver, trainer, 8, 1, Room(gib * GIB))
        assert layout.training.tokens == tokens, gib
        assert layout.micro_batch_size == tokens // 4096


@settings(max_examples=40)
@given(st.integers(16, 140), st.sampled_from([1, 2, 4, 8]), st.sampled_from([0, 32]))
def test_what_fits_some_gpus_fits_more_and_larger_ones(gib: int, ranks: int, lora_rank: int) -> None:
    shape = shape_of_base(FOUR.base_model)
    trainer = VerlTrainerConfig(lora_rank=lora_rank)

    def fits(ranks: int, gib: int) -> bool:
        try:
            return bool(fitted(shape, FOUR.solver, trainer, ranks, 1, Room(gib * GIB)))
        except DoesNotFit:
            return False

    if fits(ranks, gib):
        assert fits(2 * ranks, gib)
        assert fits(ranks, gib + 10)


def test_a_model_directorys_own_config_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"hidden_size": 8, "num_attention_heads": 0}')
    with pytest.raises(ModelDirectoryError, match="num_attention_heads is 0, not a number from 1"):
        shape_of_base(BaseModelConfig(name=str(tmp_path)))
    with pytest.raises(ModelDirectoryError, match="the shape of Org/Unknown is not known"):
        shape_of_base(BaseModelConfig(name="Org/Unknown"))


def _here(monkeypatch: pytest.MonkeyPatch, folder: Path, **gpus: int) -> Any:
    monkeypatch.setenv("PATH", str(write_nvidia_smi(folder, "580.1", **gpus)))
    trainer = VerlTrainerConfig(offload="never")
    names = [str(number) for number in range(gpus["gpus"])]
    return fitted_here("solver", CONFIG_JSON, FOUR.solver, trainer, len(names), 1, names)


def test_a_training_learns_what_its_gpus_hold_before_it_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("infra.plan.here.memory_bytes", lambda: 2**42)
    config, trainer = _here(monkeypatch, tmp_path / "a", gpus=8, mebibytes=40960)
    assert (config.micro_batch_size, trainer.tensor_parallel) == (4, 1)
    with pytest.raises(
        DoesNotFit, match=r"solver: training takes \d+ GiB of the GPU, which has 40 GiB; what"
    ):
        _here(monkeypatch, tmp_path / "b", gpus=1, mebibytes=40960)
    with pytest.raises(DeviceCrash, match="beside 30 GiB of others"):
        _here(monkeypatch, tmp_path / "c", gpus=8, mebibytes=40960, used=30 * 1024)


def test_a_solver_that_sleeps_leaves_its_share_to_the_training_but_not_to_the_drawing_of_rollouts() -> None:
    asleep, awake = (
        _plan("qwen3-8b", Machine(8, 40), "trainer.solver_gpus=0", f"sampler.backend={backend}")
        # Servers do not sleep.
        for backend in ("vllm", "server")
    )
    (challenger, _), (beside, _) = (
        [stage.layout for stage in plan.stages if stage.layout] for plan in (asleep, awake)
    )
    assert challenger.parts["others"] == 2 * GIB
    assert beside.parts["others"] == 0.3 * 40 * GIB
    assert (challenger.training.offload, beside.training.offload) == ("between_steps", "always")
    assert challenger.drawing_bytes > 0.7 * 40 * GIB


def test_what_would_wake_beside_the_rollouts_is_counted_before_a_training_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("infra.plan.here.memory_bytes", lambda: 2**42)
    monkeypatch.setenv("PATH", str(write_nvidia_smi(tmp_path, "580.1", gpus=8, mebibytes=81920)))
    names = [str(number) for number in range(8)]
    asked = ("challenger", CONFIG_JSON, FOUR.challenger, VerlTrainerConfig(gpu_memory_share=0.4), 8, 1, names)
    _, trainer = fitted_here(*asked, waking_share=0.3)
    assert trainer.offload == "never"
    with pytest.raises(DoesNotFit, match=r"drawing rollouts takes \d+ GiB beside 48 GiB of others"):
        fitted_here(*asked, waking_share=0.6)
