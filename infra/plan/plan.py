"""What each stage of a run takes of a cluster's GPUs, and whether it fits: `rzero plan`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from data.backends import EngineConfig, ServerSamplerConfig, TransformersSamplerConfig, VerlTrainerConfig
from data.resolve import ConfigError
from infra.jobs.errors import DeviceSetupError
from infra.machine.gpus import share_out, waking_share
from infra.plan.layout import DoesNotFit, Layout, Room, explained, fitted
from infra.plan.memory import ASLEEP, GIB, Training, engine_gpu, kv_tokens, local_gpu, store_disk, work_disk
from infra.plan.shape import Shape
from infra.trainers.verl.cluster import Cluster, check_fits

if TYPE_CHECKING:
    from data.backends import BackendConfig, SamplerConfig
    from data.config import GrpoConfig, RunConfig

_LOCAL_PROMPT_TOKENS = 512
_ROLES = ("challenger", "solver")


@dataclass(frozen=True)
class Machine:
    """A cluster: its nodes are alike, as are their GPUs."""

    gpus: int
    """Of each node."""
    memory_gib: float
    """Of each GPU."""
    nodes: int = 1
    host_gib: float | None = None
    """Of each node; None: not known, taken as enough."""


@dataclass(frozen=True)
class StagePlan:
    """A stage on its GPUs."""

    stage: str
    gpus: int
    """Of the whole cluster."""
    parts: dict[str, float] = field(default_factory=dict)
    """Bytes of a GPU at its fullest, by what takes them."""
    layout: Layout | None = None
    kv_tokens: int | None = None
    """Tokens whose keys and values an engine holds at once."""
    problem: str | None = None
    """Why it does not fit, and what would."""

    @property
    def bytes(self) -> float:
        """Of a GPU at its fullest."""
        return sum(self.parts.values())


@dataclass(frozen=True)
class Plan:
    """All stages of a run on a cluster."""

    stages: tuple[StagePlan, ...]
    store_bytes: float
    work_bytes: float
    """Of the folder that checkpoints are written to."""
    shares_gpus: bool
    """The frozen Solver is on the GPUs that the Challenger trains on."""

    @property
    def problems(self) -> list[str]:
        """Of each stage that does not fit."""
        return [f"{stage.stage}: {stage.problem}" for stage in self.stages if stage.problem]


def planned(config: RunConfig, shape: Shape, machine: Machine) -> Plan:
    """How the run lies on the cluster. ConfigError where its settings contradict the cluster's size."""
    here = [str(number) for number in range(machine.gpus)]
    try:
        trainer, solver = share_out(config.trainer, config.sampler, here)
    except DeviceSetupError as error:
        raise ConfigError(str(error)) from None
    sampling = _engine("questions, answers, evaluation", shape, config.sampler, machine)
    disk = Training(1, 1)
    if not isinstance(trainer, VerlTrainerConfig):
        trains = [_local(role, shape, getattr(config, role), config, machine) for role in _ROLES]
        return Plan(
            (trains[0], sampling, trains[1]),
            store_disk(shape, disk, config.iterations),
            0.0,
            shares_gpus=True,
        )
    # A sampler elsewhere, or in this process, is given no GPUs.
    shares = isinstance(solver, EngineConfig) and bool({*trainer.gpus} & {*solver.gpus})
    stages = (
        _training("challenger", shape, config.challenger, trainer, machine, solver if shares else None),
        _engine("its frozen Solver", shape, solver, machine),
        sampling,
        _training("solver", shape, config.solver, config.trainer, machine, None),  # type: ignore[arg-type]
    )
    disk = Training(1, 1, lora_rank=trainer.lora_rank)
    return Plan(stages, store_disk(shape, disk, config.iterations), work_disk(shape, disk), shares)


def _count(config: BackendConfig, machine: Machine) -> int:
    """GPUs of each node that a backend has."""
    return len(config.gpus) or machine.gpus if isinstance(config, EngineConfig) else 1


def _training(
    role: str,
    shape: Shape,
    config: GrpoConfig,
    trainer: VerlTrainerConfig,
    machine: Machine,
    beside: SamplerConfig | None,
) -> StagePlan:
    """A training; `beside`: the frozen Solver on the same GPUs."""
    ranks = _count(trainer, machine) * machine.nodes
    asked = (shape, config, trainer, ranks, machine.nodes, _room(machine, beside))
    try:
        check_fits(role, config, Cluster(machine.nodes, ranks // machine.nodes))
        layout = fitted(*asked)
    except DoesNotFit as error:
        return StagePlan(f"train_{role}", ranks, problem=explained(*asked, problem=str(error)))
    except DeviceSetupError as error:
        return StagePlan(f"train_{role}", ranks, problem=str(error))
    return StagePlan(f"train_{role}", ranks, layout.parts, layout, layout.kv_tokens)


def _room(machine: Machine, beside: SamplerConfig | None) -> Room:
    gpu = machine.memory_gib * GIB
    host = None if machine.host_gib is None else machine.host_gib * GIB
    if not isinstance(beside, EngineConfig):
        return Room(gpu, host_bytes=host)
    if waking := waking_share(beside):
        return Room(gpu, ASLEEP, host, waking_bytes=waking * gpu)
    return Room(gpu, beside.gpu_memory_share * gpu, host)


def _engine(stage: str, shape: Shape, config: SamplerConfig, machine: Machine) -> StagePlan:
    """A stage that draws; an engine must hold the model and one sequence of the longest context."""
    if isinstance(config, ServerSamplerConfig) and config.urls:
        return StagePlan(f"{stage} (elsewhere)", 0)
    room = machine.memory_gib * GIB
    gpus = _count(config, machine) * machine.nodes
    if isinstance(config, TransformersSamplerConfig):
        cache = shape.kv_bytes_per_token * config.batch_tokens
        parts = {"weights": 4.0 * shape.parameters, "keys_and_values": float(cache), "reserve": float(GIB)}
        problem = None if sum(parts.values()) < room else "the model is too large for one GPU"
        return StagePlan(stage, 1, parts, kv_tokens=config.batch_tokens, problem=problem)
    span, share = config.tensor_parallel, config.gpu_memory_share * room
    longest = min(config.context_tokens or shape.longest_context, shape.longest_context)
    held, weights = kv_tokens(shape, span, share), engine_gpu(shape, span)
    parts = {"engine": weights, "keys_and_values": max(0.0, share - weights)}
    if held >= longest:
        return StagePlan(stage, gpus, parts, kv_tokens=held)
    need = weights + shape.kv_bytes_per_token * longest / span
    problem = (
        f"an engine takes {need / GIB:.1f} GiB of each GPU with one sequence of {longest} tokens, its share "
        f"is {share / GIB:.1f}; what fits: sampler.tensor_parallel={2 * span} on {2 * span} GPUs, a smaller "
        "sampler.context_tokens, or larger GPUs"
    )
    return StagePlan(stage, gpus, parts, kv_tokens=held, problem=problem)


def _local(role: str, shape: Shape, config: GrpoConfig, run: RunConfig, machine: Machine) -> StagePlan:
    """The trainer `local`: one GPU, whatever there are."""
    length = min(_LOCAL_PROMPT_TOKENS + config.max_tokens, shape.longest_context)
    sampler = run.sampler
    cache = sampler.batch_tokens if isinstance(sampler, TransformersSamplerConfig) else 0
    parts = local_gpu(shape, config.micro_batch_size * length, cache)
    problem = None
    if sum(parts.values()) > machine.memory_gib * GIB:
        problem = (
            f"the trainer local takes {sum(parts.values()) / GIB:.1f} GiB of one GPU, "
            f"which has {machine.memory_gib:g}; what fits: a smaller micro_batch_size, or +verl"
        )
    return StagePlan(f"train_{role}", 1, parts, problem=problem)
