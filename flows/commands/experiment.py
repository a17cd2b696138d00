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
@click.option("--experiment", "which", default="ablations", show_default=True, help="Which experiment.")
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
    which: str,
    chosen: tuple[str, ...],
    seeds: tuple[int, ...],
    preset: str | None,
    iterations: int | None,
    overrides: tuple[str, ...],
    table_only: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Run, or resume, variants with several seeds; compare them."""
    from data.experiments import load_variants
    from data.resolve import ConfigError, resolve, split_overrides
    from flows.errors import resumable_work
    from flows.experiment import experiment as run_experiment
    from flows.experiment import run_name
    from flows.experiment_table import HARD_GREEDY, experiment_rows, hard_groups, shown_rows
    from flows.live.show import show_json, show_table, tell
    from flows.report.read import read_runs
    from infra.artifacts.runs import run_names

    variants = load_variants(which, chosen)
    base = "tiny" if preset is None else preset
    settings = split_overrides(overrides)
    configs = [
        resolve(
            f"{name}-{variant.name}",
            base,
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
    rows = experiment_rows(runs, hard)
    if as_json:
        show_json({"hard_groups": hard, "rows": rows})
        return
    show_table(shown_rows(rows), f"{name}: mean (lowest-highest) over seeds", keys=2)
    groups = ", ".join(hard) or "none"
    tell(f"hard: groups {groups}, where the base's greedy accuracy is ≤ {HARD_GREEDY}")
