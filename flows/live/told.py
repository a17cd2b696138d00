"""The lines in which a run's log tells where it stands: where it goes on, and what an iteration came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from data.config import RunConfig
from flows.live.now import look
from flows.summary import accuracies, read_steps, summary_rows
from flows.text import all_finished, duration
from infra.run_log import run_log
from infra.store.store import Store
from infra.words import plural
from tasks.stage.graph import stage_names
from tasks.stage.task import Run
from tasks.stage.walk import Step, walk


def tell_run(config: RunConfig, unfinished: Sequence[Step]) -> None:
    """Say where all iterations of a run stand before they go on."""
    if not unfinished:
        run_log().info(f"{all_finished(config.iterations)}: nothing to do")
    elif unfinished[0].iteration > 1:
        run_log().info(
            f"{unfinished[0].iteration - 1} of {plural(config.iterations, 'iteration')} are finished"
        )


def beginning(config: RunConfig, unfinished: Sequence[Step]) -> str:
    """Where a run begins or goes on: `goes on with train_solver of iteration 2 (5 steps kept)`."""
    first, kept = unfinished[0], kept_of(config, unfinished)
    is_new = first.stage == next(iter(stage_names(0))) and not kept
    return f"{'begins' if is_new else 'goes on'} with {first.stage} of iteration {first.iteration}{kept}"


def kept_of(config: RunConfig, steps: Sequence[Step]) -> str:
    """What is there already of the first unfinished of these steps: ` (5 steps kept)`, or nothing."""
    first = next((step for step in steps if step.ref is None), None)
    now = look(Store(config.store), first) if first else None
    return f" ({now.so_far} kept)" if now and now.done else ""


def tell_start(run: Run) -> None:
    """Say at which stage an iteration begins or goes on."""
    begun = [0, 1] if run.iteration == 1 else [run.iteration]
    steps = [step for step in walk(run.store, run.config, run.iteration) if step.iteration in begun]
    run_log().info(start_line(run.iteration, steps, kept_of(run.config, steps)))


def start_line(iteration: int, steps: Sequence[Step], kept: str = "") -> str:
    """Where an iteration stands: `iteration 2: 3 of 7 stages are finished, goes on at sample_answers`.

    The first one begins with the base model: its steps come before. `kept` is from `kept_of`.
    """
    left = [step for step in steps if step.ref is None]
    if not left:
        count = sum(step.iteration == iteration for step in steps)
        return f"iteration {iteration}: all {count} stages are finished: nothing to do"
    at = [step for step in steps if step.iteration == left[0].iteration]
    done = sum(step.ref is not None for step in at)
    verb = "goes on" if done or kept else "begins"
    if left[0].iteration < iteration:
        return f"iteration {iteration}: {verb} with the base model, at {left[0].stage}{kept}"
    where = f"{done} of {len(at)} stages are finished, goes on at" if done else f"{verb} with"
    return f"iteration {iteration}: {where} {left[0].stage}{kept}"


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
