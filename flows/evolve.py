"""All iterations of a run, each a sub-flow."""

from __future__ import annotations

from prefect import flow, tags
from prefect.runtime import flow_run

from flows.iteration import iteration
from flows.live.told import tell_run
from flows.meanwhile import crash_what_the_dead_left
from flows.overview import Overview
from flows.parameters import NO_OVERRIDES, Number, Overrides, Preset, RunName, StoreUri
from flows.start import begin, name_flow_run, unfinished_steps


@flow(name="rzero-evolve", flow_run_name="{run}", persist_result=False)
def evolve(
    run: RunName,
    preset: Preset | None = None,
    iterations: Number | None = None,
    store: StoreUri | None = None,
    overrides: Overrides = NO_OVERRIDES,
) -> None:
    """Run, or resume, iterations 1 to `iterations` of a run.

    Args:
        run: Name of the run: letters, digits, '.', '_' and '-'; a new name begins a new run.
        preset: What a new run begins with; 'tiny' where none is chosen.
        iterations: How many iterations; the preset's number where none is named.
        store: A folder or s3://bucket/prefix; else the worker's $RZERO_STORE, else ./rzero-store.
        overrides: Settings that differ from the preset's, by dotted key: {"solver.learning_rate": 2e-6}.
    """
    config = begin(run, preset, store, overrides, iterations)
    crash_what_the_dead_left()
    name_flow_run(f"{run} iterations 1 to {config.iterations} ({config.preset})")
    shown = Overview(config)
    shown.update()
    unfinished = unfinished_steps(config)
    tell_run(config, unfinished)
    # The sub-flows carry the deployment's tags, so limits by tag hold for them too.
    with tags(*flow_run.tags):
        for number in range(max(unfinished[0].iteration, 1), config.iterations + 1) if unfinished else ():
            iteration(run=run, iteration=number, store=config.store)
            shown.update()
