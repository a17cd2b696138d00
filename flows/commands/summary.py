"""What a run has come to: the tables of `rzero run` and `rzero status`, from the store alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.config import RunConfig
from infra.artifacts.artifact import Manifest, read_manifest
from infra.store.store import Store
from tasks.stage.graph import Step, walk

KEY_FIGURES = {
    "prepare_base_model": (),
    "train_challenger": ("probe_reward_mean", "reward_first_step", "reward_last_step"),
    "generate_questions": ("candidates",),
    "sample_answers": ("samples_per_question",),
    "score_and_filter": ("reward_mean", "kept_share", "unique_share", "label_accuracy"),
    "train_solver": ("reward_first_step", "reward_last_step"),
    "evaluate": ("pass@1", "maj@10", "maj@k", "greedy", "math_average", "overall_average"),
}


@dataclass(frozen=True)
class FinishedStep:
    """A step with its manifest; None where it is unfinished."""

    step: Step
    manifest: Manifest | None


def read_steps(store: Store, config: RunConfig, iterations: int | None = None) -> list[FinishedStep]:
    """All steps of a run, with the manifests of those that are finished."""
    steps = walk(store, config, config.iterations if iterations is None else iterations)
    return [
        FinishedStep(step, read_manifest(store, step.location) if step.ref and step.location else None)
        for step in steps
    ]


def status_rows(steps: Sequence[FinishedStep]) -> list[dict[str, Any]]:
    """One row a stage: iteration, stage, state, seconds, finished_at, uri, and the key figures."""
    rows = []
    for item in steps:
        manifest, step = item.manifest, item.step
        figures = manifest.figures if manifest else {}
        rows.append(
            {
                "iteration": step.iteration,
                "stage": step.stage,
                "state": "finished" if manifest else "damaged" if step.damage else "unfinished",
                "seconds": manifest.seconds if manifest else None,
                "finished_at": manifest.finished_at if manifest else None,
                "uri": step.ref.uri if step.ref else None,
                "figures": {name: figures[name] for name in KEY_FIGURES[step.stage] if name in figures},
            }
        )
    return rows


def summary_rows(steps: Sequence[FinishedStep]) -> list[dict[str, Any]]:
    """One row an iteration, from 0 (the base model), with its key figures; None where not known yet."""
    by_iteration: dict[int, dict[str, Manifest]] = {}
    for item in steps:
        found = by_iteration.setdefault(item.step.iteration, {})
        if item.manifest:
            found[item.step.stage] = item.manifest
    return [_summary_row(number, manifests) for number, manifests in sorted(by_iteration.items())]


def _summary_row(iteration: int, manifests: Mapping[str, Manifest]) -> dict[str, Any]:
    def figure(stage: str, name: str) -> Any:
        return manifests[stage].figures.get(name) if stage in manifests else None

    maj = next(
        (n for n in (manifests["evaluate"].figures if "evaluate" in manifests else ()) if "maj@" in n),
        "maj@k",
    )
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


def gain_line(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """What the iterations gained in accuracy, in percentage points; None before the first is measured."""
    measured = [row for row in rows if row["pass@1"] is not None]
    if len(measured) < 2:
        return None
    first, last = measured[0], measured[-1]
    gains = [
        f"{name} {first[name]:.3f} → {last[name]:.3f} ({100 * (last[name] - first[name]):+.1f} points)"
        for name in first
        if name == "pass@1" or name.startswith("maj@") or name == "greedy"
        if first[name] is not None and last.get(name) is not None
    ]
    return f"From the base to iteration {last['iteration']}: {', '.join(gains)}"
