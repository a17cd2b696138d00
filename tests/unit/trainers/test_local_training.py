"""LocalTrainer from a job to a model directory: learning, resume, output, and what stops it."""

from __future__ import annotations

import hashlib
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from data.schemas import METRICS, ROLLOUTS
from infra.machine.memory import OutOfMemory
from infra.store.tables import parquet_bytes
from infra.trainers import update as update_module
from infra.trainers.errors import (
    CheckpointError,
    NonFiniteError,
    RewardError,
    TrainingError,
)
from infra.trainers.protocol import Reward, Rollout, ScoredRollout, TrainingJob, TrainingResult

Train = Callable[..., TrainingResult]
MakeJob = Callable[..., TrainingJob]
Report = Callable[[int, Mapping[str, float]], None]


def digests(result: TrainingResult) -> dict[str, str]:
    """sha256 of everything that a training hands over."""
    contents = {path.name: path.read_bytes() for path in result.model_dir.iterdir()}
    contents["rollouts"] = parquet_bytes(result.rollouts)
    contents["metrics"] = parquet_bytes(result.metrics)
    return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(contents.items())}


class Stopped(Exception):
    """The process was taken away."""


def stop_after(step: int) -> Report:
    def report(done: int, metrics: Mapping[str, float]) -> None:
        if done == step:
            raise Stopped

    return report


def test_the_mean_reward_rises_clearly_on_a_trivial_reward(train: Train, make_job: MakeJob) -> None:
    job = make_job(steps=10, prompts_per_step=8, group_size=8, micro_batch_size=64, learning_rate=3e-2)
    result = train(job)
    rewards = result.metrics.column("reward_mean").to_pylist()
    assert rewards[-1] > rewards[0] + 0.4


@pytest.mark.parametrize(("stopped_at", "resumed_from", "updates"), [(4, 4, 1), (3, 2, 2), (1, 0, 1)])
def test_an_interrupted_training_ends_with_the_bytes_of_an_undisturbed_one(
    train: Train,
    make_job: MakeJob,
    folder_checkpoints: Any,
    tmp_path: Path,
    stopped_at: int,
    resumed_from: int,
    updates: int,
) -> None:
    settings = {"steps": 6, "checkpoint_every_steps": 2, "updates_per_step": updates}
    undisturbed = train(make_job("whole", **settings), places=folder_checkpoints(tmp_path / "other"))
    job = make_job("resumed", **settings)
    with pytest.raises(Stopped):
        train(job, report=stop_after(stopped_at))
    resumed = train(job)
    assert resumed.resumed_from_step == resumed_from
    assert digests(resumed) == digests(undisturbed)


def test_checkpoints_come_every_k_steps_but_not_after_the_last(
    train: Train, make_job: MakeJob, checkpoints: Any
) -> None:
    train(make_job(steps=6, checkpoint_every_steps=2))
    assert sorted(path.name for path in checkpoints.root.iterdir()) == ["2", "4"]
    assert sorted(path.name for path in (checkpoints.root / "2").iterdir()) == [
        "metrics.parquet",
        "model.safetensors",
        "optimizer.safetensors",
        "rollouts.parquet",
        "state.json",
    ]


def test_a_checkpoint_of_another_job_or_a_damaged_one_is_refused(
    train: Train, make_job: MakeJob, checkpoints: Any
) -> None:
    settings = {"steps": 3, "checkpoint_every_steps": 2}
    train(make_job(**settings))
    with pytest.raises(CheckpointError, match="another config, seed or prompts"):
        train(make_job(seed=8, **settings))
    (checkpoints.root / "2" / "optimizer.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="cannot be read"):
        train(make_job(**settings))


@pytest.mark.parametrize("moment", [None, "exp_avg", "exp_avg_sq"])
def test_a_checkpoint_with_tensors_of_another_shape_is_refused(
    moment: str | None, train: Train, make_job: MakeJob, checkpoints: Any
) -> None:
    from safetensors.torch import load_file, save_file

    settings = {"steps": 3, "checkpoint_every_steps": 2}
    train(make_job(**settings))
    file = checkpoints.root / "2" / ("model.safetensors" if moment is None else "optimizer.safetensors")
    tensors = load_file(file)
    name = next(name for name in tensors if moment is None or name.startswith(f"{moment}."))
    # One number would fill the whole matrix.
    tensors[name] = torch.zeros(1)
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match="parameters are not the model's"):
        train(make_job(**settings))


def test_the_fingerprint_depends_on_role_seed_config_and_prompts(make_job: MakeJob) -> None:
    jobs = [make_job(), make_job(seed=1), make_job(learning_rate=1e-3), make_job(prompts=("a b c",))]
    assert len({job.fingerprint for job in jobs}) == len(jobs)
    assert make_job("elsewhere").fingerprint == make_job().fingerprint


def test_a_training_goes_on_with_a_smaller_micro_batch_and_the_same_outcome_but_for_rounding(
    train: Train, make_job: MakeJob, folder_checkpoints: Any, tmp_path: Path
) -> None:
    settings = {"steps": 4, "checkpoint_every_steps": 2}
    whole = train(
        make_job("whole", micro_batch_size=16, **settings), places=folder_checkpoints(tmp_path / "other")
    )
    with pytest.raises(Stopped):
        train(make_job("large", micro_batch_size=16, **settings), report=stop_after(2))
    resumed = train(make_job("small", micro_batch_size=3, **settings))
    assert resumed.resumed_from_step == 2
    assert resumed.rollouts.column("completion") == whole.rollouts.column("completion")
    one, other = (load_file(each.model_dir / "model.safetensors") for each in (whole, resumed))
    start = load_file(make_job().model_dir / "model.safetensors")
    for name, weights in one.items():
        torch.testing.assert_close(other[name], weights, rtol=1e-4, atol=1e-5)
    assert any((weights - start[name]).abs().max() > 1e-3 for name, weights in one.items())


def test_the_tables_have_every_rollout_and_one_row_of_metrics_a_step(train: Train, make_job: MakeJob) -> None:
    reported: list[tuple[int, Mapping[str, float]]] = []
    result = train(make_job(steps=3), report=lambda step, metrics: reported.append((step, metrics)))
    assert result.rollouts.schema.equals(ROLLOUTS, check_metadata=True)
    assert result.metrics.schema.equals(METRICS, check_metadata=True)
    assert [step for step, _ in reported] == [1, 2, 3]
    assert result.metrics.to_pylist() == [dict(metrics) for _, metrics in reported]
    rows = result.rollouts.to_pylist()
    assert [(row["step"], row["group"], row["sample"]) for row in rows] == list(
        itertools.product(range(1, 4), range(4), range(4))
    )
    assert {row["prompt"] for row in rows} == {"a b", "c", "d e f"}
    for _, group in itertools.groupby(rows, key=lambda row: (row["step"], row["group"])):
        members = list(group)
        assert len({(row["prompt_index"], row["seed"]) for row in members}) == 1
        assert abs(sum(row["advantage"] for row in members)) < 1e-5
    assert all(row["tokens"] <= 6 for row in rows)
    assert result.metrics.column("kl")[0].as_py() == 0
    assert result.metrics.column("kl")[2].as_py() > 0


def test_zero_steps_return_the_model_unchanged(
    train: Train, make_job: MakeJob, build_model: Callable[..., Path], checkpoints: Any, tmp_path: Path
) -> None:
    source = build_model(tmp_path / "source")
    (source / "_manifest.json").write_text("{}")
    result = train(make_job(source=source, steps=0))
    files = {path.name: path.read_bytes() for path in source.iterdir() if path.name != "_manifest.json"}
    assert {path.name: path.read_bytes() for path in result.model_dir.iterdir()} == files
    assert result.rollouts.num_rows == result.metrics.num_rows == 0
    assert checkpoints.newest() is None


def test_the_output_is_a_model_directory_that_names_no_path(
    train: Train, make_job: MakeJob, build_model: Callable[..., Path], tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = build_model(tmp_path / "source")
    (source / "chat_template.jinja").write_bytes(b"{{ messages[0]['content'] }}\r\n")
    (source / "_manifest.json").write_text("{}")
    (source / "training.log").write_text("not part of a model")
    result = train(make_job(source=source))
    names = {path.name for path in result.model_dir.iterdir()}
    assert names == {
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    for name in names - {"model.safetensors"}:
        assert (result.model_dir / name).read_bytes() == (source / name).read_bytes()
    for path in result.model_dir.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()
    before, after = load_file(source / "model.safetensors"), load_file(result.model_dir / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(after[name].dtype == torch.float32 for name in after)
    assert any(not torch.equal(before[name], after[name]) for name in after)
    model = AutoModelForCausalLM.from_pretrained(result.model_dir)
    tokenizer = AutoTokenizer.from_pretrained(result.model_dir)
    assert model.generate(**tokenizer("a b", return_tensors="pt"), max_new_tokens=2).shape[1] <= 4


def test_a_model_stored_in_bfloat16_is_trained_in_float32_and_stored_as_it_was(
    train: Train, make_job: MakeJob, build_model: Callable[..., Path], tmp_path: Path
) -> None:
    source = build_model(tmp_path / "source", dtype=torch.bfloat16)
    result = train(make_job(source=source))
    assert json.loads((result.model_dir / "config.json").read_text())["dtype"] == "bfloat16"
    weights = load_file(result.model_dir / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.bfloat16}


def test_bfloat16_computing_trains_too(train: Train, make_job: MakeJob) -> None:
    result = train(make_job(), dtype="bfloat16")
    assert {tensor.dtype for tensor in load_file(result.model_dir / "model.safetensors").values()} == {
        torch.float32
    }
    assert result.metrics.column("kl")[0].as_py() == 0


def test_several_updates_of_one_batch_leave_the_policy_that_drew_it(train: Train, make_job: MakeJob) -> None:
    job = make_job(steps=1, updates_per_step=4, learning_rate=0.3, clip_low=0.0, clip_high=0.0)
    result = train(job)
    assert result.metrics.column("clip_share")[0].as_py() > 0
    single = make_job("single", steps=1, learning_rate=0.3)
    result = train(single)
    assert result.metrics.column("clip_share")[0].as_py() == 0


def test_without_a_kl_term_there_is_no_reference(
    train: Train, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "infra.trainers.policy.Policy.reference", lambda self: pytest.fail("made a reference")
    )
    result = train(make_job(kl_coefficient=0.0))
    assert result.metrics.column("kl").to_pylist() == [0.0, 0.0]


def test_a_loss_that_is_not_finite_stops_the_training_and_saves_nothing(
    train: Train, make_job: MakeJob, checkpoints: Any
) -> None:
    # Beyond float32; it counts as soon as the policy has left its reference.
    job = make_job(checkpoint_every_steps=2, kl_coefficient=1e39)
    with pytest.raises(NonFiniteError, match=r"solver, step 2: .*not finite.*try a smaller learning_rate"):
        train(job)
    assert checkpoints.newest() is None
    assert not job.output_dir.exists()


def test_weights_that_overflow_stop_the_training_and_are_not_saved(train: Train, make_job: MakeJob) -> None:
    job = make_job(learning_rate=1e38, checkpoint_every_steps=1, weight_decay=0.0)
    with pytest.raises(NonFiniteError, match="solver, step"):
        train(job)
    assert not job.output_dir.exists()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"),
    ],
    ids=["gpu", "cpu"],
)
def test_running_out_of_memory_is_an_error_to_retry_that_says_what_to_try(
    train: Train, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def too_much(*args: object) -> None:
        raise error

    monkeypatch.setattr(update_module.Policy, "statistics", too_much)
    with pytest.raises(
        OutOfMemory, match=r"solver, step 1: out of memory.*micro_batch_size below 6"
    ) as caught:
        train(make_job())
    assert caught.value.retryable
    assert not TrainingError("anything else").retryable


def test_an_error_of_the_reward_function_comes_through(train: Train, make_job: MakeJob) -> None:
    def broken(rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
        raise ZeroDivisionError("own bug")

    with pytest.raises(ZeroDivisionError, match="own bug"):
        train(make_job(), broken)
    with pytest.raises(RewardError, match="scored 0 of 16"):
        train(make_job(), lambda rollouts: [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompts": ()}, "solver has no prompts"),
        ({"temperature": 0.0}, "temperature 0 cannot train"),
        ({"updates_per_step": 5}, "updates_per_step 5 is more than the prompts_per_step 4"),
        ({"prompts": ("a", "")}, "the prompt '' has no tokens"),
    ],
    ids=["no prompts", "greedy", "too many updates", "empty prompt"],
)
def test_a_job_that_cannot_be_trained_is_refused_in_one_line(
    train: Train, make_job: MakeJob, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        train(make_job(**changes))
    assert "\n" not in str(caught.value)


def test_the_process_keeps_its_own_thread_settings(
    train: Train, make_job: MakeJob, count_of_b: Reward
) -> None:
    before = torch.get_num_threads()
    seen: list[tuple[int, bool]] = []

    def reward(rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
        seen.append((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()))
        return count_of_b(rollouts)

    train(make_job(), reward)
    assert seen == [(before, False)] * 2
    assert torch.get_num_threads() == before


def test_importing_the_trainers_does_not_import_torch() -> None:
    program = "import infra.trainers, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
