"""The lines in which a run's log tells where it stands: where it goes on, and what an iteration came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data.config import RunConfig
from flows.summary import accuracies, read_steps, summary_rows
from flows.text import all_finished, duration, plural
from infra.run_log import run_log
from tasks.stage.task import Run
from tasks.stage.walk import Step, walk


def tell_run(config: RunConfig, unfinished: Sequence[Step]) -> None:
    """Say where all iterations of a run stand before they go on."""
    if not unfinished:
        run_log().info(all_finished(config.iterations))
    elif unfinished[0].iteration > 1:
        run_log().info(
            f"{unfinished[0].iteration - 1} of {plural(config.iterations, 'iteration')} are finished"
        )


def tell_start(run: Run) -> None:
    """Say at which stage an iteration begins or goes on."""
    run_log().info(start_line(run.iteration, walk(run.store, run.config, run.iteration)))


def start_line(iteration: int, steps: Sequence[Step]) -> str:
    """Where an iteration stands: `iteration 2: 3 of 7 stages are finished, goes on at sample_answers`."""
    base = [step.stage for step in steps if step.iteration == 0 and step.ref is None]
    mine = [step for step in steps if step.iteration == iteration]
    left = [step.stage for step in mine if step.ref is None]
    done = len(mine) - len(left)
    if not left:
        return f"iteration {iteration}: all {len(mine)} stages are finished: nothing to do"
    if done:
        return f"iteration {iteration}: {done} of {len(mine)} stages are finished, goes on at {left[0]}"
    if iteration == 1 and base:
        return f"iteration 1: begins with the base model, at {base[0]}"
    return f"iteration {iteration}: begins with {left[0]}"


def tell_end(run: Run) -> None:
    """Say what an iteration came to."""
    run_log().info(end_line(summary_rows(read_steps(run.store, run.config, run.iteration))))


def end_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """The figures of the last of these rows of `summary_rows`, and where the one before it stood."""
    last, before = rows[-1], rows[-2] if len(rows) > 1 else {}
    figures = [
        f"{name} {last[name]:.3f}" + ("" if before.get(name) is None else f" (before: {before[name]:.3f})")
        for name in accuracies(last)
        if last[name] is not None
    ]
    if last["kept_share"] is not None:
        figures.append(f"kept share {last['kept_share']:.3f}")
    took = f"iteration {last['iteration']} is finished, after {duration(last['seconds'])} of work"
    return ": ".join([took, ", ".join(figures)] if figures else [took])
