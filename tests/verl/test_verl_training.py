"""A training of the tiny model through verl, Ray and vLLM on a CPU; killed in the middle, it goes on."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pyarrow.compute as pc
import pytest

from data.backends import (
    ServerSamplerConfig,
    TransformersSamplerConfig,
    VerlTrainerConfig,
    VllmSamplerConfig,
)
from data.config import GrpoConfig
from data.schemas import METRICS, ROLLOUTS
from infra.jobs.errors import DeviceCrash, DeviceSetupError
from infra.jobs.process import DeviceJob
from infra.jobs.reap import processes_of
from infra.ray.address import RAY_VARIABLE
from infra.samplers import SamplingParams, open_sampler
from infra.samplers.protocol import Completion
from infra.samplers.vllm import VllmSampler
from infra.trainers import open_trainer
from infra.trainers.errors import RewardError
from infra.trainers.protocol import Rollout, ScoredRollout, TrainingJob, TrainingResult
from infra.trainers.verl import trainer as verl_trainer
from tests.support.chat_tokenizers import CHATML, chat_tokenizer, write_base_model
from tests.support.folder_checkpoints import FolderCheckpoints
from tests.support.listeners import listeners

CONFIG = GrpoConfig(
    steps=3,
    prompts_per_step=4,
    group_size=4,
    max_tokens=24,
    micro_batch_size=16,
    learning_rate=1e-3,
    checkpoint_every_steps=1,
)
Started = list[tuple[DeviceJob, Mapping[str, Any]]]
PATHS = ["/v1/models", "/health", "/tokenize", "/invocations", "/metrics", "/docs"]
PROMPTS = ["<|solver|>37 a+5 b-8\n", "<|solver|>22 a+5 b-9\n", "<|solver|>41 a+5\n"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """The jobs that the trainer starts, each with what it is told."""
    found: Started = []

    class Watched(DeviceJob):
        def __init__(self, name: str, entry: str, spec: Mapping[str, Any], *others: Any) -> None:
            super().__init__(name, entry, spec, *others)
            found.append((self, spec))

    monkeypatch.setattr(verl_trainer, "DeviceJob", Watched)
    return found


def _job(model: Path, output: Path) -> TrainingJob:
    return TrainingJob("solver", model, PROMPTS, CONFIG, 7, output)


def _makes_a_folder(folder: Path, file: Path) -> None:
    """A file of torch's that makes this folder when it is loaded as a whole pickle."""
    import torch

    class Makes:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(folder),)

    torch.save({"weight": torch.zeros(1), "other": Makes()}, file)


# Relative, or absolute below one: verl's engine has another attention, sums in another order, and each
# step starts from what the one before has rounded.
TOLERANCE = {"policy_loss": 1e-4, "kl": 1e-4, "entropy": 1e-3, "gradient_norm": 1e-2, "clip_share": 0.0}


def _the_local_learner_agrees(
    model: Path, result: TrainingResult, drawn: Mapping[int, Sequence[Rollout]]
) -> None:
    """The rollouts that verl drew give `local`'s learner the same advantages, losses and gradient norms."""
    import torch
    from transformers import AutoTokenizer

    from infra.trainers.grpo import group_advantages
    from infra.trainers.policy import load_policy
    from infra.trainers.sequences import Sequences
    from infra.trainers.update import Learner

    tokenizer = AutoTokenizer.from_pretrained(model)
    policy, _ = load_policy(model, torch.device("cpu"), torch.float32)
    learner = Learner(policy, CONFIG)
    for row in result.metrics.to_pylist():
        step = row["step"]
        rewards = torch.tensor([score.reward for score in _reward(drawn[step])], dtype=torch.float64)
        groups = torch.tensor([rollout.group for rollout in drawn[step]])
        advantages = group_advantages(rewards, groups, CONFIG.divide_by_std).tolist()
        of_step = result.rollouts.filter(pc.field("step") == step)
        assert of_step["advantage"].to_pylist() == pytest.approx(advantages, abs=1e-6)
        sequences = [
            Sequences(tuple(tokenizer(one.prompt)["input_ids"]), one.completion.token_ids)
            for one in drawn[step]
        ]
        update = learner.update(sequences, advantages, tokenizer.pad_token_id, f"step {step}")
        for name, tolerance in TOLERANCE.items():
            assert row[name] == pytest.approx(update[name], rel=tolerance, abs=tolerance), (step, name)


def _reward(rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
    return [ScoredRollout(rollout.completion.text.count("4") / 24) for rollout in rollouts]


def test_a_training_that_is_killed_goes_on_at_the_step_and_its_artifacts_are_as_the_local_ones(
    started: Started, python: str, tiny_model: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    places = FolderCheckpoints(tmp_path / "store")
    drawn: dict[int, list[Rollout]] = {}

    def reward(rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
        drawn[rollouts[0].step] = list(rollouts)
        return _reward(rollouts)

    def kill_after_two(step: int, metrics: Mapping[str, float]) -> None:
        if step == 2:
            os.kill(started[0][0].pid, signal.SIGKILL)

    # Two workers: FSDP's shards in the checkpoints and in the model, and an engine each.
    trainer = open_trainer(VerlTrainerConfig(device="cpu", gpus_per_node=2))
    with pytest.raises(DeviceCrash) as raised:
        trainer.train(_job(tiny_model, tmp_path / "first"), reward, places, kill_after_two)
    assert raised.value.retryable
    assert sorted(int(path.name) for path in places.root.iterdir()) == [1, 2]

    doctored = FolderCheckpoints(tmp_path / "doctored")
    doctored.save(2, places.root / "2")
    paths = json.loads((doctored.root / "2" / "state.json").read_text())["paths"]
    for name, path in paths.items():
        if path.endswith(".pt"):
            _makes_a_folder(tmp_path / "trap", doctored.root / "2" / name)
    with pytest.raises(DeviceSetupError, match=r"does not hold tensors .* it names posix\.mkdir; find out"):
        trainer.train(_job(tiny_model, tmp_path / "none"), reward, doctored, lambda step, metrics: None)
    assert not (tmp_path / "trap").exists()

    seen: list[int] = []
    result = trainer.train(
        _job(tiny_model, tmp_path / "second"), reward, places, lambda step, metrics: seen.append(step)
    )
    assert result.resumed_from_step == 2
    assert seen == [3]
    assert result.rollouts.schema == ROLLOUTS
    assert result.metrics.schema == METRICS
    assert result.rollouts["step"].to_pylist() == [step for step in (1, 2, 3) for _ in range(16)]
    assert result.metrics["step"].to_pylist() == [1, 2, 3]
    assert result.engine_metrics is not None
    before = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="auto")
    after = AutoModelForCausalLM.from_pretrained(result.model_dir, dtype="auto")
    assert after.dtype == before.dtype
    changed = [not value.equal(after.state_dict()[name]) for name, value in before.state_dict().items()]
    assert any(changed)
    for name in ("config.json", "tokenizer.json"):
        assert (result.model_dir / name).read_bytes() == (tiny_model / name).read_bytes()
    _the_local_learner_agrees(tiny_model, result, drawn)

    # Killed while the last weights were merged: that alone is done again.
    drawn.clear()
    merged = trainer.train(
        _job(tiny_model, tmp_path / "third"), reward, places, lambda step, metrics: seen.append(step)
    )
    assert merged.resumed_from_step == 3
    assert (seen, drawn) == ([3], {})
    for name in ("rollouts", "metrics", "engine_metrics"):
        assert getattr(merged, name).equals(getattr(result, name))
    for file in result.model_dir.iterdir():
        assert file.read_bytes() == (merged.model_dir / file.name).read_bytes()


def test_rollouts_stop_at_the_end_of_a_turn_in_the_base_models_chat_template(
    python: str, tmp_path: Path
) -> None:
    tokenizer = chat_tokenizer(CHATML)
    ends = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_end|>"])
    model = write_base_model(tmp_path / "model", tokenizer, likely="<|im_end|>")
    drawn: list[Completion] = []

    def reward(rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
        drawn.extend(rollout.completion for rollout in rollouts)
        return _reward(rollouts)

    config = CONFIG.model_copy(update={"steps": 1})
    job = TrainingJob("solver", model, ["a", "b"], config, 7, tmp_path / "out")
    trainer = open_trainer(VerlTrainerConfig(device="cpu"))
    trainer.train(job, reward, FolderCheckpoints(tmp_path / "store"), lambda step, metrics: None)
    for one in drawn:
        assert not set(ends).intersection(one.token_ids[:-1])
        assert one.finish_reason == ("stop" if one.token_ids[-1] in ends else "length")
        assert "<|im_end|>" not in one.text
    assert sum(one.token_ids[-1] == ends[1] for one in drawn) > len(drawn) / 2


def test_adapters_are_trained_in_bfloat16_on_two_nodes_of_a_cluster_where_the_frozen_solver_answers_too(
    two_nodes: object, started: Started, python: str, tiny_model: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    asked = 0

    def reward(rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
        nonlocal asked
        seeds = range(asked, asked + len(rollouts))
        answers = solver.sample([one.prompt for one in rollouts], SamplingParams(max_tokens=8), list(seeds))
        assert [each.seed for (each,) in answers] == list(seeds)
        asked += len(rollouts)
        return _reward(rollouts)

    trainer = open_trainer(
        VerlTrainerConfig(
            device="cpu",
            dtype="bfloat16",
            lora_rank=4,
            nodes=2,
            work_folder=str(tmp_path),
        )
    )
    places = FolderCheckpoints(tmp_path / "store")
    frozen = VllmSamplerConfig(device="cpu", eager=True, replicas=2)
    with open_sampler(frozen, tiny_model) as solver:
        job = _job(tiny_model, tmp_path / "out")
        result = trainer.train(job, reward, places, lambda step, metrics: None)
        assert isinstance(solver, VllmSampler)
        # It has drawn for every rollout of three steps, and lives on when verl has left the cluster.
        assert sum(solver.drawn_by.values()) == asked == 3 * 16
        assert solver.sample([PROMPTS[0]], SamplingParams(max_tokens=8), [1])[0][0].seed == 1
    assert result.metrics["step"].to_pylist() == [1, 2, 3]
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_model, result.model_dir))
    assert before.keys() == after.keys()
    changed = {name for name, value in before.items() if not value.equal(after[name])}
    # Adapters stand beside linear layers alone.
    assert changed == {name for name in before if "_proj." in name}
    # The other machines of a cluster see the shared folder alone, which is empty again at the end.
    ((_, told),) = started
    assert all(Path(told[name]).is_relative_to(tmp_path) for name in ("model", "work"))
    assert not list(tmp_path.glob("rzero.verl-*"))


def test_a_cluster_that_is_not_there_is_one_clear_line(
    python: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(RAY_VARIABLE, "127.0.0.1:1")
    trainer = open_trainer(VerlTrainerConfig(device="cpu"))
    with pytest.raises(DeviceSetupError, match=r"\$RZERO_RAY_ADDRESS: 127\.0\.0\.1:1: .*Timed out"):
        trainer.train(
            _job(tiny_model, tmp_path / "out"),
            _reward,
            FolderCheckpoints(tmp_path / "store"),
            lambda step, metrics: None,
        )


def test_nobody_else_reaches_a_training_on_one_machine_and_what_its_reward_function_raises_ends_it(
    started: Started, python: str, tiny_model: Path, tmp_path: Path
) -> None:
    open_to_others: set[str] = set()
    engines: list[int] = []

    def reward(rollouts: Sequence[Rollout]) -> list[ScoredRollout]:
        names = {pid: _title(pid) for pid in processes_of(started[0][0].id)}
        for listener in listeners(names):
            if not listener.is_local:
                open_to_others.add(f"{names[listener.pid]} at {listener.host}")
            elif "vLLMHttpServer" in names[listener.pid]:
                url = f"http://127.0.0.1:{listener.port}"
                # Its other port is Ray's, which speaks another protocol.
                with contextlib.suppress(httpx.HTTPError):
                    engines.extend(httpx.get(url + path, trust_env=False).status_code for path in PATHS)
        return []

    trainer = open_trainer(VerlTrainerConfig(device="cpu"))
    with pytest.raises(RewardError, match="scored 0 of 16"):
        trainer.train(
            _job(tiny_model, tmp_path / "out"),
            reward,
            FolderCheckpoints(tmp_path / "store"),
            lambda step, metrics: None,
        )
    # torch's own meeting point of the training's ranks, which can be bound to no address.
    assert open_to_others <= {"ray::WorkerDict at ::"}
    assert engines == [403] * len(PATHS)


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]
    except OSError:
        return ""


@pytest.mark.parametrize(
    ("kind", "replicas", "tensor_parallel"),
    [
        (VllmSamplerConfig, 1, 1),
        (VllmSamplerConfig, 2, 2),
        (ServerSamplerConfig, 1, 1),
        (ServerSamplerConfig, 2, 1),
    ],
)
def test_an_engine_draws_what_its_seeds_say(
    kind: type[VllmSamplerConfig | ServerSamplerConfig],
    replicas: int,
    tensor_parallel: int,
    python: str,
    tiny_model: Path,
) -> None:
    config = kind(
        device="cpu",
        eager=True,
        replicas=replicas,
        tensor_parallel=tensor_parallel,
    )
    params = SamplingParams(max_tokens=16, samples=3)
    with open_sampler(config, tiny_model) as sampler:
        first = sampler.sample(PROMPTS, params, [1, 2, 3])
        again = sampler.sample(PROMPTS, params, [1, 2, 3])
        greedy = sampler.sample(PROMPTS, SamplingParams(max_tokens=16, samples=2, temperature=0.0), [1, 2, 3])
    assert first == again
    assert len({one.text for group in first for one in group}) > 3
    assert all(one.seed == seed for group, seed in zip(first, (1, 2, 3), strict=True) for one in group)
    assert all(group[0] == group[1] for group in greedy)
    with open_sampler(TransformersSamplerConfig(device="cpu"), tiny_model) as sampler:
        expected = sampler.sample(PROMPTS, SamplingParams(max_tokens=16, temperature=0.0), [1, 2, 3])
    assert [group[0].text for group in greedy] == [group[0].text for group in expected]
    assert [group[0].token_ids for group in greedy] == [group[0].token_ids for group in expected]
