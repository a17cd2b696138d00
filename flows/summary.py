"""Where a run stands: its steps with their manifests, and tables of them, from the store alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from data.config import RunConfig
from data.resolve import ConfigError
from flows.live.now import Now
from flows.text import shown_name
from infra.artifacts.artifact import ArtifactRef, Manifest, read_manifest
from infra.store.store import Store
from tasks.stage.graph import STAGES, stage_names
from tasks.stage.walk import Step, readable_steps


@dataclass(frozen=True)
class FinishedStep:
    """A step with its manifest; None where it is unfinished."""

    step: Step
    manifest: Manifest | None

    @property
    def is_left(self) -> bool:
        """Whether the next run makes it: it is unfinished, or was made under another key."""
        return self.manifest is None or self.step.is_earlier


Working = Mapping[tuple[int, str], Now]
"""How far the unfinished steps are that somebody has begun, by iteration and stage."""


def read_steps(store: Store, config: RunConfig, iterations: int | None = None) -> list[FinishedStep]:
    """All steps of a run, with the manifests of those that are finished."""
    steps = readable_steps(store, config, config.iterations if iterations is None else iterations)
    return [
        FinishedStep(step, read_manifest(store, step.location) if step.ref and step.location else None)
        for step in steps
    ]


def find_step(store: Store, config: RunConfig, iteration: int, stage: str) -> FinishedStep:
    """One step of a run, finished or not; ConfigError for a stage or an iteration that does not exist."""
    if stage not in STAGES:
        raise ConfigError(f"--stage: there is no stage {stage!r}; there are: {', '.join(STAGES)}")
    if iteration < 0 or stage not in stage_names(iteration):
        raise ConfigError(f"--iteration: there is no {stage} in iteration {iteration}")
    steps = read_steps(store, config, iteration)
    return next(item for item in steps if (item.step.iteration, item.step.stage) == (iteration, stage))


def finished_artifact(
    store: Store, config: RunConfig, iteration: int, stage: str
) -> tuple[ArtifactRef, Manifest]:
    """A finished artifact of a run with its manifest; ConfigError where there is none."""
    item = find_step(store, config, iteration, stage)
    if item.step.ref is None or item.manifest is None:
        raise not_finished(config, iteration, stage)
    return item.step.ref, item.manifest


def not_finished(config: RunConfig, iteration: int, stage: str) -> ConfigError:
    """What to raise where an artifact is asked for that is not there, or never will be."""
    if iteration > config.iterations:
        return ConfigError(f"--iteration: the iterations of {config.run!r} end with {config.iterations}")
    return ConfigError(f"{stage} of iteration {iteration} of {config.run!r} is not finished")


def status_rows(steps: Sequence[FinishedStep], working: Working | None = None) -> list[dict[str, Any]]:
    """One row per stage: iteration, stage, state, seconds, finished_at, uri, the key figures.

    And of a stage that is in `working`, how far it is: holders, done, total, unit, seconds_left.
    """
    return [
        _status_row(item.step, item.manifest, (working or {}).get((item.step.iteration, item.step.stage)))
        for item in steps
    ]


def run_row(config: RunConfig, steps: Sequence[FinishedStep], working: Working) -> dict[str, Any]:
    """A run in one row: run, preset, iterations finished and wanted, its state, pass@1, finished_at."""
    left = [item.step for item in steps if item.is_left]
    busy = [key for key, now in working.items() if now.holders]
    iteration, stage = (*busy, *((step.iteration, step.stage) for step in left), (None, None))[0]
    state = "running" if busy else "finished" if not left else "stopped" if len(left) < len(steps) else "new"
    unfinished = {step.iteration for step in left}
    measured = [row["pass@1"] for row in summary_rows(steps) if row["pass@1"] is not None]
    return {
        "run": config.run,
        "preset": config.preset,
        "finished": sum(number not in unfinished for number in range(1, config.iterations + 1)),
        "iterations": config.iterations,
        "state": state,
        "iteration": iteration,
        "stage": stage,
        "pass@1": measured[-1] if measured else None,
        "finished_at": max((item.manifest.finished_at for item in steps if item.manifest), default=None),
    }


def _status_row(step: Step, manifest: Manifest | None, now: Now | None) -> dict[str, Any]:
    if manifest:
        state = "outdated" if step.is_earlier else "finished"
    elif now and now.holders:
        state = "running"
    else:
        state = "damaged" if step.damage else "unfinished"
    figures = manifest.figures if manifest else {}
    return {
        "iteration": step.iteration,
        "stage": step.stage,
        "state": state,
        "seconds": manifest.seconds if manifest else None,
        "finished_at": manifest.finished_at if manifest else None,
        "uri": step.ref.uri if step.ref else None,
        "figures": {
            name: value
            for name, value in figures.items()
            if name in STAGES[step.stage].figures or name.startswith("maj@")
        },
    } | ({} if now is None else asdict(now))


def summary_rows(steps: Sequence[FinishedStep]) -> list[dict[str, Any]]:
    """One row per iteration from 0 (the base model), with its key figures; None if not known yet."""
    by_iteration: dict[int, dict[str, Manifest]] = {item.step.iteration: {} for item in steps}
    for item in steps:
        if item.manifest:
            by_iteration[item.step.iteration][item.step.stage] = item.manifest
    return [_summary_row(number, manifests) for number, manifests in sorted(by_iteration.items())]


def _summary_row(iteration: int, manifests: Mapping[str, Manifest]) -> dict[str, Any]:
    def figure(stage: str, name: str) -> Any:
        return manifests[stage].figures.get(name) if stage in manifests else None

    measured = manifests["evaluate"].figures if "evaluate" in manifests else {}
    maj = next((name for name in measured if "maj@" in name), "maj@k")
    return {
        "iteration": iteration,
        "challenger_reward_before": figure("train_challenger", "probe_reward_mean"),
        "challenger_reward_after": figure("score_and_filter", "reward_mean"),
        "kept_share": figure("score_and_filter", "kept_share"),
        "unique_share": figure("score_and_filter", "unique_share"),
        "label_accuracy": figure("score_and_filter", "label_accuracy"),
        "pass@1": figure("evaluate", "pass@1"),
        maj: figure("evaluate", maj),
        "greedy": figure("evaluate", "greedy"),
        "seconds": round(sum(manifest.seconds for manifest in manifests.values()), 1),
    }


def shown_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of `summary_rows` for a person: short headers."""
    return [{shown_name(name.removeprefix("challenger_")): row[name] for name in row} for row in rows]


def accuracies(row: Mapping[str, Any]) -> list[str]:
    """The names of the accuracies in a row of `summary_rows`."""
    return [name for name in row if name == "pass@1" or name.startswith("maj@") or name == "greedy"]


def gain_line(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """What the iterations gained in accuracy, in percentage points; None before the first is measured."""
    measured = [row for row in rows if row["pass@1"] is not None]
    if len(measured) < 2:
        return None
    first, last = measured[0], measured[-1]
    gains = [
        f"{name} {first[name]:.3f} → {last[name]:.3f} ({100 * (last[name] - first[name]):+.1f} points)"
        for name in accuracies(first)
        if first[name] is not None and last.get(name) is not None
    ]
    return f"From the base to iteration {last['iteration']}: {', '.join(gains)}"
