"""`rzero plan`: what a run takes of a cluster, whether it fits, and when which GPU works."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from flows.commands.options import json_option, open_store, set_option, store_option
from flows.text import say
from infra.words import plural

if TYPE_CHECKING:
    from data.config import RunConfig
    from infra.plan.plan import Machine, Plan, StagePlan
    from infra.plan.shape import Shape
    from infra.plan.timeline import Rates, Schedule

_TABLE_GPUS, _TABLE_GIB = (1, 2, 4, 8, 16), (24, 40, 80, 141)
_GPUS_OF_A_NODE = 8
_CELLS = {"never": "full", "between_steps": "moved", "always": "host"}
_WHERE = {
    "never": "states on the GPU",
    "between_steps": "states on the host while rollouts are drawn",
    "always": "states on the host, AdamW too",
}


@click.command()
@click.option("--preset", default="qwen3-4b", show_default=True, help="Preset, with overlays as in a+b.")
@set_option
@click.option("--gpus", type=click.IntRange(1, 64), help="GPUs of each node.  [default: this machine's]")
@click.option("--memory-gib", type=click.FloatRange(1, 1000), help="Of each GPU.  [default: this machine's]")
@click.option(
    "--nodes", type=click.IntRange(1, 64), default=1, show_default=True, help="Machines, all alike."
)
@click.option(
    "--host-memory-gib",
    type=click.FloatRange(1, 100_000),
    help="Memory of each node; without it, it is told but not checked.",
)
@store_option
@click.option("--all", "every", is_flag=True, help="Every preset on many clusters, as a table in Markdown.")
@json_option
def plan(
    preset: str,
    overrides: tuple[str, ...],
    gpus: int | None,
    memory_gib: float | None,
    nodes: int,
    host_memory_gib: float | None,
    store: str | None,
    every: bool,
    as_json: bool,
) -> None:
    """Tell whether a run fits some GPUs, and how.

    How it lies on them, what it takes of memory and disks, how long it may take. The exit code is 1 if it
    does not fit. Nothing is started, and nothing asked of a model hub.
    """
    from data.resolve import resolve
    from flows.live.show import show_json, tell
    from infra.plan.plan import Machine, planned
    from infra.plan.shape import shape_of_base

    if every:
        for line in _fit_table():
            say(line)
        return
    config = resolve("plan", preset, overrides)
    machine = Machine(*_gpus(gpus, memory_gib), nodes, host_memory_gib)
    shape = shape_of_base(config.base_model)
    found = planned(config, shape, machine)
    rates = _rates(store, preset, machine, shape)
    if as_json:
        show_json(_document(found) | {"timeline": _spans(config, shape, rates, found)})
    else:
        fits = "does not fit" if found.problems else "fits"
        on = f"{plural(nodes, 'node')} of " if nodes > 1 else ""
        tell(f"{preset} {fits} {on}{plural(machine.gpus, 'GPU')} of {machine.memory_gib:g} GiB")
        say("")
        _show(found, machine)
        for problem in found.problems:
            tell(f"rzero: {problem}", err=True)
        if not found.problems:
            _draw(config, shape, rates, found)
    if found.problems:
        raise click.exceptions.Exit(1)


def _gpus(gpus: int | None, memory_gib: float | None) -> tuple[int, float]:
    """What was named, or what this machine has; ConfigError where it has none."""
    from data.resolve import ConfigError
    from infra.machine.gpus import found_gpus, gpu_memory

    here = found_gpus()
    memory = gpu_memory(here)
    count = gpus or len(here)
    gib = memory_gib or (memory[0] / 2**30 if memory else 0.0)
    if not count or not gib:
        raise ConfigError("plan: this machine has no GPU; say for which: --gpus 8 --memory-gib 80")
    return count, gib


def _show(found: Plan, machine: Machine) -> None:
    """The table of stages, what they take, and what the machine must have besides."""
    from flows.live.show import show_table, tell

    rows = [
        {
            "stage": stage.stage,
            "GPUs": stage.gpus,
            "GiB of each": _gib(stage.bytes) if stage.parts else None,
            "fits": stage.problem is None,
            "how": _how(stage),
        }
        for stage in found.stages
    ]
    show_table(rows)
    for stage in found.stages:
        if stage.parts:
            parts = ", ".join(
                f"{name.replace('_', ' ')} {_gib(value)}" for name, value in stage.parts.items()
            )
            tell(f"{stage.stage}: {parts}", indent=2)
    hosts = [stage.layout.host_bytes for stage in found.stages if stage.layout]
    of_node = f"memory of a node {_gib(max(hosts))} GiB, " if hosts else ""
    work = f"work folder {_gib(found.work_bytes)} GiB, " if found.work_bytes else ""
    say("")
    tell(f"besides: {of_node}{work}store {_gib(found.store_bytes)} GiB")


def _how(stage: StagePlan) -> str:
    if stage.layout is None:
        return "" if stage.kv_tokens is None else f"{stage.kv_tokens} tokens in an engine at once"
    layout = stage.layout
    span = f", engines of {layout.tensor_parallel} GPUs" if layout.tensor_parallel > 1 else ""
    lora = f", LoRA of rank {layout.training.lora_rank}" if layout.training.lora_rank else ""
    return f"{layout.training.tokens} tokens a pass{lora}, {_WHERE[layout.training.offload]}{span}"


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f}"


def _draw(config: RunConfig, shape: Shape, rates: Rates, found: Plan) -> None:
    """The timeline of the schedule that the layout has, and how long the others take."""
    from flows.live.show import tell
    from infra.plan.timeline import SCHEDULES, hours, load_of, simulate, timeline, worked_share

    load, gpus = load_of(config, shape.parameters), _working(found)
    spans = {schedule: simulate(config, rates, gpus, schedule, load) for schedule in SCHEDULES}
    say("")
    for schedule in SCHEDULES:
        worked = worked_share(spans[schedule], gpus)
        ours = ", as it is planned" if schedule == _schedule(found) else ""
        tell(f"{schedule}: {hours(spans[schedule]):.2f} h an iteration, {worked:.0%} worked{ours}")
    for line in timeline(spans[_schedule(found)], gpus):
        say(line)
    tell(
        "C Challenger's training, Q questions, A answers, S Solver's training, E evaluation, "
        "· starts and uploads"
    )
    tell(f"rates: {rates.source}")


def _rates(store: str | None, preset: str, machine: Machine, shape: Shape) -> Rates:
    """What `rzero calibrate` has measured of this preset on such GPUs, else what is assumed of them."""
    from infra.plan.calibration import kept
    from infra.plan.timeline import read_rates

    measured = kept(open_store(store), preset)
    if measured is not None and measured.is_of(machine.memory_gib):
        return measured.rates(shape.parameters / 1e9)
    return read_rates(machine.memory_gib)


def _schedule(found: Plan) -> Schedule:
    return "shared" if found.shares_gpus else "split"


def _working(found: Plan) -> int:
    return max(stage.gpus for stage in found.stages)


def _spans(config: RunConfig, shape: Shape, rates: Rates, found: Plan) -> dict[str, Any]:
    from dataclasses import asdict

    from infra.plan.timeline import load_of, simulate

    load = load_of(config, shape.parameters)
    spans = simulate(config, rates, _working(found), _schedule(found), load)
    return {
        "schedule": _schedule(found),
        "rates": rates.model_dump(),
        "spans": [asdict(span) for span in spans],
    }


def _document(found: Plan) -> dict[str, Any]:
    from dataclasses import asdict

    stages = [asdict(stage) | {"bytes": stage.bytes} for stage in found.stages]
    return asdict(found) | {"stages": stages, "fits": not found.problems}


def _fit_table() -> Iterator[str]:
    """How every preset fits clusters of many sizes, as the lines of a table in Markdown."""
    from data.resolve import yaml_names

    yield "| preset | GPUs | " + " | ".join(f"{gib} GB" for gib in _TABLE_GIB) + " |"
    yield "|---|---|" + "---|" * len(_TABLE_GIB)
    for preset in yaml_names("data.presets"):
        ways = list(_ways(preset))
        for gpus in _TABLE_GPUS:
            cells = " | ".join(_cell(ways, gpus, gib) for gib in _TABLE_GIB)
            yield f"| `{preset}` | {gpus} | {cells} |"


def _ways(preset: str) -> Iterator[RunConfig]:
    """The preset as it is, then with LoRA; the trainer `local` has no adapters."""
    from data.resolve import resolve

    config = resolve("plan", preset)
    yield config
    if config.trainer.backend == "verl":
        yield resolve("plan", f"{preset}+lora")


def _cell(ways: list[RunConfig], gpus: int, gib: float) -> str:
    """How the first of the ways that fits does so, in a word."""
    from infra.plan.plan import Machine, planned
    from infra.plan.shape import shape_of_base

    shape, nodes = shape_of_base(ways[0].base_model), max(1, gpus // _GPUS_OF_A_NODE)
    for config in ways:
        found = planned(config, shape, Machine(gpus // nodes, gib, nodes))
        if not found.problems:
            offloads = [stage.layout.training.offload for stage in found.stages if stage.layout]
            hardest = max(offloads, key=list(_CELLS).index, default="never")
            return _CELLS[hardest] if config is ways[0] else "LoRA"
    return "no"
