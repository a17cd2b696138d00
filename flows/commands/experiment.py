"""`rzero experiment`."""

from __future__ import annotations

import click

from flows.commands.options import (
    iterations_option,
    json_option,
    open_store,
    preset_option,
    set_option,
    store_option,
)


@click.command()
@click.argument("name", metavar="NAME")
@click.option(
    "--experiment",
    "which",
    help="Which experiment.  [default: NAME, where there is such a one; else ablations]",
)
@click.option("--variant", "chosen", multiple=True, help="Only this variant; repeatable.  [default: all]")
@click.option(
    "--seed", "seeds", type=click.IntRange(min=0), multiple=True, default=(0, 1, 2), show_default=True
)
@preset_option
@iterations_option
@set_option
@click.option("--table-only", is_flag=True, help="Run nothing; the table of what is there.")
@store_option
@json_option
def experiment(
    name: str,
    which: str | None,
    chosen: tuple[str, ...],
    seeds: tuple[int, ...],
    preset: str | None,
    iterations: int | None,
    overrides: tuple[str, ...],
    table_only: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Run, or resume, variants with several seeds; compare them.

    A run that a gate stops does not keep the others from running, and is named at the end.
    """
    from data.experiments import experiment_of, load_variants
    from data.resolve import ConfigError, resolve, split_overrides
    from flows.errors import resumable_work
    from flows.experiment import experiment as run_experiment
    from flows.experiment import run_name
    from flows.experiment_table import (
        HARD_GREEDY,
        experiment_rows,
        gain_rows,
        hard_groups,
        shown_gains,
        shown_rows,
    )
    from flows.gates.lines import stopped
    from flows.live.show import show_json, show_table, tell
    from flows.report.read import read_runs
    from infra.artifacts.runs import run_names

    which = which or experiment_of(name)
    variants = load_variants(which, chosen)
    settings = split_overrides(overrides)
    configs = [
        resolve(
            f"{name}-{variant.name}",
            variant.preset(preset),
            settings | variant.overrides,
            store,
            iterations,
        )
        for variant in variants
    ]
    place = open_store(configs[0].store)
    if not table_only:
        with resumable_work():
            run_experiment(name, which, list(chosen), list(seeds), preset, iterations, store, settings)
    begun = set(run_names(place))
    runs = {
        variant.name: read_runs(
            place, [run for seed in seeds if (run := run_name(name, variant, seed)) in begun]
        )
        for variant in variants
    }
    if not any(runs.values()):
        raise ConfigError(f"experiment {name!r} has no run in {place.uri} yet")
    hard = hard_groups(next(members for members in runs.values() if members))
    rows, gains = experiment_rows(runs, hard), gain_rows(runs)
    halted = [run.name for members in runs.values() for run in members if stopped(run.config, run.steps)]
    if as_json:
        show_json({"hard_groups": hard, "rows": rows, "gains": gains, "stopped_by_gates": halted})
        return
    show_table(shown_rows(rows), f"{name}: mean (lowest-highest) over seeds", keys=2)
    groups = ", ".join(hard) or "none"
    tell(f"hard: groups {groups}, where the base's greedy accuracy is ≤ {HARD_GREEDY}")
    tell("tokens, seconds: of an iteration without its evaluation; tokens that the reward draws are not kept")
    if gains:
        over = next(iter(runs))
        show_table(shown_gains(gains), f"gains over {over} with the same seeds, 95 % t-interval", keys=3)
        tell("n.s.: not significant, the interval holds 0; no interval: a single seed")
    if halted:
        tell(f"Stopped by a gate: {', '.join(halted)}. Why, and how one goes on: rzero status NAME")
