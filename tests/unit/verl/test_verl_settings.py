"""RunConfig as verl's configuration, and how GPUs are shared out: no verl is needed for this."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from data.backends import (
    LocalTrainerConfig,
    SamplerConfig,
    ServerSamplerConfig,
    TransformersSamplerConfig,
    VerlTrainerConfig,
    VllmSamplerConfig,
)
from data.config import GrpoConfig
from data.resolve import resolve
from infra.jobs.errors import DeviceSetupError
from infra.machine.gpus import chosen_gpus, replica_gpus, share_gpus, share_out, waking_share
from infra.samplers.engine import sleep_options
from infra.samplers.ray_engines import places
from infra.trainers.verl.cluster import Cluster, Paths, check_fits, cluster_of
from infra.trainers.verl.settings import verl_settings
from infra.trainers.verl.trainer import VerlTrainer

ACTOR, ROLLOUT = "actor_rollout_ref.actor.", "actor_rollout_ref.rollout."
EIGHT = Cluster(nodes=1, workers_per_node=8)


def _settings(cluster: Cluster = EIGHT, preset: str = "qwen3-4b", **trainer: Any) -> dict[str, Any]:
    config = resolve("a", preset)
    return verl_settings(
        "solver",
        GrpoConfig(**{name: getattr(config.solver, name) for name in GrpoConfig.model_fields}),
        VerlTrainerConfig(**{"dtype": "bfloat16", **trainer}),
        seed=2**62,
        cluster=cluster,
        paths=Paths(Path("/model"), Path("/work")),
        prompt_tokens=200,
        longest_context=32768,
    )


def test_the_papers_numbers_reach_verl() -> None:
    settings = _settings()
    assert settings["data.train_batch_size"] == 128
    assert settings[ROLLOUT + "n"] == 5
    assert settings["trainer.total_training_steps"] == 15
    assert settings[ACTOR + "optim.lr"] == 1e-6
    assert settings[ACTOR + "optim.weight_decay"] == 1e-2
    assert settings[ACTOR + "kl_loss_coef"] == 1e-2
    assert settings[ACTOR + "kl_loss_type"] == "low_var_kl"
    assert (settings[ACTOR + "clip_ratio_low"], settings[ACTOR + "clip_ratio_high"]) == (0.2, 0.3)
    assert (settings[ROLLOUT + "temperature"], settings[ROLLOUT + "top_p"]) == (1.0, 0.99)
    assert settings[ACTOR + "ppo_mini_batch_size"] == 128
    assert settings["data.max_response_length"] == 4096


def test_the_overlay_makes_the_authors_updates() -> None:
    config = resolve("a", "qwen3-4b+official-code")
    assert config.challenger.prompts_per_step // config.challenger.updates_per_step == 16
    assert config.challenger.reward["repetition"] == {"weight": 2.0, "threshold": 0.5}
    assert config.challenger.learning_rate == 1e-6
    assert config.preset == "qwen3-4b+official-code"


def test_the_dtype_is_that_of_forward_and_backward_too() -> None:
    key = "+" + ACTOR + "fsdp_config.mixed_precision"
    assert _settings()[key]["param_dtype"] == "bf16"
    assert _settings(dtype="float32")[key]["param_dtype"] == "fp32"
    assert _settings(dtype="float32")[ROLLOUT + "dtype"] == "float32"


def test_a_micro_batch_divides_the_rollouts_of_a_worker() -> None:
    config = GrpoConfig(steps=1, prompts_per_step=8, group_size=4, micro_batch_size=64, max_tokens=8)
    on_a_cpu = Cluster(1, 1, has_gpus=False)
    settings = verl_settings(
        "solver", config, VerlTrainerConfig(), 0, on_a_cpu, Paths(Path("m"), Path("w")), 4, 64
    )
    assert settings[ACTOR + "ppo_micro_batch_size_per_gpu"] == 32
    config = config.model_copy(update={"micro_batch_size": 20})
    settings = verl_settings(
        "solver", config, VerlTrainerConfig(), 0, on_a_cpu, Paths(Path("m"), Path("w")), 4, 64
    )
    assert settings[ACTOR + "ppo_micro_batch_size_per_gpu"] == 16


def test_seeds_fit_into_verls_integers() -> None:
    assert 0 <= _settings()["data.seed"] < 2**31


def test_a_model_with_a_short_context_gets_shorter_completions() -> None:
    config = GrpoConfig(steps=1, group_size=2, max_tokens=4096)
    settings = verl_settings(
        "solver",
        config,
        VerlTrainerConfig(),
        0,
        EIGHT,
        Paths(Path("m"), Path("w")),
        200,
        longest_context=2048,
    )
    assert settings["data.max_response_length"] == 1848
    assert settings[ROLLOUT + "max_model_len"] == 2048


@pytest.mark.parametrize(("installed", "kind"), [(True, "flash_attention_2"), (False, "sdpa")])
def test_attention_is_flash_attns_where_that_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool, kind: str
) -> None:
    if installed:
        (tmp_path / "flash_attn.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    key = "+actor_rollout_ref.model.override_config.attn_implementation"
    assert _settings()[key] == kind
    assert _settings(Cluster(1, 1, has_gpus=False))[key] == "sdpa"


@pytest.mark.parametrize(
    ("trainer", "cluster", "between", "always"),
    [
        ({}, Cluster(1, 1), True, False),
        ({}, EIGHT, False, False),
        ({"offload": "never"}, Cluster(1, 1), False, False),
        ({"offload": "between_steps"}, EIGHT, True, False),
        ({"offload": "always"}, EIGHT, False, True),
        ({"offload": "always"}, Cluster(1, 1, has_gpus=False), False, False),
    ],
)
def test_states_are_offloaded_between_steps_or_by_fsdp_itself_while_it_trains(
    trainer: dict[str, str], cluster: Cluster, between: bool, always: bool
) -> None:
    settings = _settings(cluster, **trainer)
    assert settings[ACTOR + "fsdp_config.param_offload"] is between
    assert settings[ACTOR + "fsdp_config.optimizer_offload"] is between
    assert settings[ACTOR + "fsdp_config.offload_policy"] is always


@pytest.mark.parametrize(
    ("prompt_tokens", "micro_batch_size", "budget"), [(200, 4, 16_384), (3000, 4, 16_384), (3000, 1, 7096)]
)
def test_a_long_prompt_makes_no_pass_longer_than_the_longest_sequence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prompt_tokens: int,
    micro_batch_size: int,
    budget: int,
) -> None:
    config = GrpoConfig(steps=1, group_size=4, max_tokens=4096, micro_batch_size=micro_batch_size)
    paths = Paths(Path("m"), Path("w"))
    keys = (ACTOR + "ppo_max_token_len_per_gpu", ROLLOUT + "log_prob_max_token_len_per_gpu")

    def budgets() -> set[int]:
        settings = verl_settings(
            "solver", config, VerlTrainerConfig(), 0, EIGHT, paths, prompt_tokens, longest_context=32768
        )
        return {settings[key] for key in (*keys, "actor_rollout_ref.ref.log_prob_max_token_len_per_gpu")}

    # torch's own attention computes all pairs of a pass.
    assert budgets() == {min(budget, 8192)}
    (tmp_path / "flash_attn.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert budgets() == {budget}


def test_a_cluster_is_joined_or_a_local_one_started_whatever_else_runs_here() -> None:
    assert _settings()["+ray_kwargs.ray_init.address"] == "local"
    joined = _settings(Cluster(2, 8, address="head:6379"))
    assert joined["+ray_kwargs.ray_init.address"] == "head:6379"
    assert joined["trainer.nnodes"] == 2
    assert "+ray_kwargs.ray_init.num_gpus" not in joined


@pytest.mark.parametrize(
    ("change", "cluster", "message"),
    [
        ({"updates_per_step": 3}, EIGHT, r"updates_per_step: verl needs it to divide prompts_per_step"),
        ({"prompts_per_step": 3}, EIGHT, r"the 6 rollouts of an update cannot be shared among 8 GPUs"),
    ],
)
def test_what_verl_cannot_share_out_is_told_before_anything_starts(
    change: dict[str, int], cluster: Cluster, message: str
) -> None:
    config = GrpoConfig(**{"steps": 1, "group_size": 2, "max_tokens": 8, **change})
    with pytest.raises(DeviceSetupError, match=message):
        check_fits("solver", config, cluster)


def test_a_prompt_that_leaves_no_room_is_told() -> None:
    with pytest.raises(DeviceSetupError, match="context_tokens: 100 leaves no room"):
        _settings(context_tokens=100)


def test_a_layout_that_cannot_be_is_one_clear_line() -> None:
    with pytest.raises(DeviceSetupError, match=r"tensor_parallel: 3 does not divide the 4 GPUs"):
        replica_gpus("sampler", ["0", "1", "2", "3"], 3, 0)
    with pytest.raises(DeviceSetupError, match="3 replicas of 2 GPUs need 6, there are 4"):
        replica_gpus("sampler", ["0", "1", "2", "3"], 2, 3)
    with pytest.raises(DeviceSetupError, match=r"sampler.gpus: there is no GPU 8; this machine has 8"):
        chosen_gpus("sampler", [0, 8], "auto", [str(number) for number in range(8)])
    with pytest.raises(DeviceSetupError, match="need GPUs"):
        replica_gpus("sampler", [], 2, 0)
    with pytest.raises(DeviceSetupError, match="leave none to train on"):
        share_gpus(range(4), 4)
    with pytest.raises(DeviceSetupError, match=r"trainer.tensor_parallel: 3 does not divide the 8 GPUs"):
        _settings(tensor_parallel=3)


def test_replicas_cover_the_gpus_that_are_found() -> None:
    found = [str(number) for number in range(8)]
    assert replica_gpus("sampler", found, 2, 0) == [("0", "1"), ("2", "3"), ("4", "5"), ("6", "7")]
    assert replica_gpus("sampler", [], 1, 0) == [()]


@pytest.mark.parametrize(
    ("count", "training", "solver"),
    [(1, (0,), (0,)), (4, (0, 1), (2, 3)), (8, (0, 1, 2, 3), (4, 5, 6, 7))],
)
def test_the_challengers_training_and_the_frozen_solver_share_one_four_or_eight_gpus(
    count: int,
    training: tuple[int, ...],
    solver: tuple[int, ...],
) -> None:
    there = [str(number) for number in range(count)]
    trains, answers = share_out(VerlTrainerConfig(), VllmSamplerConfig(dtype="bfloat16"), there)
    assert (trains.gpus, answers.gpus) == (training, solver)
    assert answers.sleeps == (count == 1)
    if count == 1:
        assert trains.gpu_memory_share + answers.gpu_memory_share < 0.8


def test_a_solver_that_shares_gpus_leaves_them_while_nothing_is_asked_and_no_other_engine_does() -> None:
    there = [str(number) for number in range(8)]
    shared = VerlTrainerConfig(solver_gpus=0)
    trains, answers = share_out(shared, VllmSamplerConfig(dtype="bfloat16"), there)
    assert trains.gpus == answers.gpus == tuple(range(8))
    assert waking_share(answers) == answers.gpu_memory_share > 0
    assert sleep_options(answers, has_gpus=True) == {"enable_sleep_mode": True}
    # vLLM cannot sleep without a GPU.
    assert sleep_options(answers, has_gpus=False) == {}
    _, answers = share_out(VerlTrainerConfig(), VllmSamplerConfig(), there)
    assert (waking_share(answers), sleep_options(answers, has_gpus=True)) == (0.0, {})
    _, served = share_out(shared, ServerSamplerConfig(), there)
    assert waking_share(served) == 0.0


def test_on_a_ray_cluster_the_frozen_solver_takes_gpus_that_ray_does_not_give_to_the_training() -> None:
    trainer = VerlTrainerConfig(nodes=3, gpus_per_node=8, work_folder="/shared", solver_gpus=2)
    trains, answers = share_out(trainer, VllmSamplerConfig(), [], "head:6379")
    assert cluster_of(trains, [], "head:6379") == Cluster(3, 6, True, "head:6379")
    nodes = [{"NodeID": name, "Alive": True, "Resources": {"GPU": 8.0}} for name in "abc"]
    spec = {"on_cpu": False, "address": "head:6379"}
    spec |= {"replicas": answers.replicas, "tensor_parallel": answers.tensor_parallel}
    assert [node["NodeID"] for node in places(nodes, spec)] == list("abcabc")
    # Where nothing is said of the number of GPUs, the other nodes are like this one.
    trains, answers = share_out(VerlTrainerConfig(), VllmSamplerConfig(), ["0", "1"], "head:6379")
    assert (trains.gpus_per_node, answers.gpus, answers.replicas) == (1, (), 1)
    on_cpus = VerlTrainerConfig(device="cpu", gpus_per_node=2), VllmSamplerConfig(device="cpu")
    assert share_out(*on_cpus, [], "head:6379") == on_cpus


@pytest.mark.parametrize(
    ("trainer", "sampler", "told"),
    [
        (
            {"gpus_per_node": 1},
            VllmSamplerConfig(),
            "gives a GPU to the training or to the frozen Solver, not",
        ),
        ({"gpus_per_node": 4, "solver_gpus": 0}, VllmSamplerConfig(), "set trainer.solver_gpus to 1 or more"),
        ({"gpus_per_node": 6}, VllmSamplerConfig(tensor_parallel=2), "2 does not divide the 3 GPUs of each"),
        ({"gpus_per_node": 4}, ServerSamplerConfig(), "sampler.backend: server starts engines on GPUs that"),
    ],
)
def test_what_ray_cannot_place_side_by_side_is_one_clear_line(
    trainer: dict[str, int], sampler: SamplerConfig, told: str
) -> None:
    with pytest.raises(DeviceSetupError, match=told):
        share_out(VerlTrainerConfig(**trainer), sampler, [], "head:6379")


def test_backends_of_this_process_and_endpoints_elsewhere_are_not_given_gpus() -> None:
    here = LocalTrainerConfig(), TransformersSamplerConfig()
    assert share_out(*here, ["0", "1"]) == here
    elsewhere = VerlTrainerConfig(), ServerSamplerConfig(urls=("http://host:8000/v1",))
    assert share_out(*elsewhere, ["0", "1"]) == elsewhere
    trains, answers = share_out(LocalTrainerConfig(), VllmSamplerConfig(), ["0", "1"])
    assert (trains, answers.gpus) == (LocalTrainerConfig(), (1,))


def test_no_layout_or_folder_enters_an_artifacts_key() -> None:
    one, other = (
        resolve("a", "qwen3-4b"),
        resolve(
            "a",
            "qwen3-4b",
            overrides=[
                "sampler.tensor_parallel=2",
                "trainer.nodes=2",
                "trainer.work_folder=/shared",
            ],
        ),
    )
    assert one.sampler.key_values() == other.sampler.key_values()
    assert one.trainer.key_values() == other.trainer.key_values()


def test_what_decides_results_is_in_the_key_of_the_local_backends() -> None:
    assert set(resolve("a").sampler.key_values()) == {"backend", "device", "dtype", "batch_tokens", "threads"}
    assert set(resolve("a").trainer.key_values()) == {"backend", "device", "dtype", "threads"}


@pytest.mark.parametrize(
    ("trainer", "gpus", "expected"),
    [
        ({}, (), Cluster(1, 1, has_gpus=False)),
        ({"device": "cpu", "gpus_per_node": 2}, (), Cluster(1, 2, has_gpus=False)),
        ({}, ("0", "1"), Cluster(1, 2)),
        ({"gpus_per_node": 1}, ("0", "1"), Cluster(1, 1)),
        ({"nodes": 2, "work_folder": "/shared"}, ("0", "1"), Cluster(2, 2, address="head:6379")),
        ({"gpus_per_node": 8}, (), Cluster(1, 8, address="head:6379")),
        (
            {"device": "cpu", "nodes": 3, "work_folder": "/shared"},
            (),
            Cluster(3, 1, has_gpus=False, address="auto"),
        ),
    ],
)
def test_the_workers_are_the_gpus_here_or_those_asked_for(
    trainer: dict[str, Any], gpus: tuple[str, ...], expected: Cluster
) -> None:
    assert cluster_of(VerlTrainerConfig(**trainer), gpus, expected.address) == expected


@pytest.mark.parametrize(
    ("trainer", "gpus", "address", "message"),
    [
        ({}, (), "head:6379", "gpus_per_node: this machine has no GPU; say how many"),
        ({"gpus_per_node": 4}, ("0",), None, "gpus_per_node: 4, but this machine has 1"),
        ({"nodes": 2, "work_folder": "/shared"}, ("0",), None, r"nodes: .* set \$RZERO_RAY_ADDRESS"),
    ],
)
def test_a_cluster_that_cannot_be_is_told_at_once(
    trainer: dict[str, Any], gpus: tuple[str, ...], address: str | None, message: str
) -> None:
    with pytest.raises(DeviceSetupError, match=message):
        cluster_of(VerlTrainerConfig(**trainer), gpus, address)


def test_a_cluster_of_ones_own_is_for_this_machine_and_a_key_that_changes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Whatever a user has said of other clusters.
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    trainer, paths = VerlTrainer(VerlTrainerConfig()), Paths(tmp_path, tmp_path)
    first, second = (trainer.environment(Cluster(1, 1, has_gpus=False), (), paths) for _ in range(2))
    assert first["RAY_AUTH_MODE"] == "token"
    assert first["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert len(first["RAY_AUTH_TOKEN"]) == 64
    assert first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]
    joined = trainer.environment(Cluster(2, 1, address="head:6379"), (), paths)
    assert not {name for name in joined if name.startswith("RAY_")}


@pytest.mark.parametrize("has_gpus", [True, False])
@pytest.mark.parametrize("address", [None, "head:6379"])
def test_every_process_of_verl_loads_the_guard_first(
    has_gpus: bool, address: str | None, tmp_path: Path
) -> None:
    cluster = Cluster(1, 1, has_gpus, address)
    environment = VerlTrainer(VerlTrainerConfig()).environment(cluster, (), Paths(tmp_path, tmp_path))
    assert environment["VERL_USE_EXTERNAL_MODULES"].split(",")[0] == "infra.trainers.verl.guard"
