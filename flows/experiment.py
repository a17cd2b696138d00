"""An experiment as one flow: every variant of a run with every seed."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from prefect import flow

from data.experiments import Variant, load_variants
from flows.evolve import evolve
from flows.start import begin, unfinished_steps
from tasks.stage.errors import GateStopped


def run_name(name: str, variant: Variant, seed: int) -> str:
    """The name of a variant's run with one seed."""
    return f"{name}-{variant.name}-seed{seed}"


@flow(name="rzero-experiment", flow_run_name="{name}", persist_result=False)
def experiment(
    name: str,
    experiment: str = "ablations",
    variants: list[str] | None = None,
    seeds: list[int] | None = None,
    preset: str | None = None,
    iterations: int | None = None,
    store: str | None = None,
    overrides: dict[str, Any] | None = None,
) -> list[str]:
    """Run, or resume, the runs of an experiment. Returns their names.

    One that a gate stops ends there, and the next begins.

    Args:
        name: Name of the experiment's runs: <name>-<variant>-seed<n>.
        experiment: Which experiment, a file of data/experiments.
        variants: Names of the variants to run; default: all.
        seeds: Seeds of each variant; default: 0, 1 and 2.
        preset: Name of the preset; default: 'tiny'.
        iterations: How many iterations; default: the experiment's or the preset's number.
        store: Folder or URI of the store; default: $RZERO_STORE, else ./rzero-store.
        overrides: Settings of all runs, by dotted key.
    """
    chosen = load_variants(experiment, tuple(variants or ()))
    names = []
    for seed in seeds or [0, 1, 2]:
        for variant in chosen:
            run = run_name(name, variant, seed)
            settings = {**(overrides or {}), **variant.overrides, "seed": seed}
            config = begin(run, variant.preset(preset), store, settings, iterations)
            if unfinished_steps(config):
                # Its log says which gate, and how it goes on.
                with suppress(GateStopped):
                    evolve(run=run, iterations=iterations, store=config.store)
            names.append(run)
    return names
