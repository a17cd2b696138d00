"""One iteration of R-Zero (arXiv 2508.05004), as a Prefect flow."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.states import Completed

from flows.gates.watched import watched
from flows.live.told import tell_end, tell_start
from flows.meanwhile import crash_what_the_dead_left, finished_meanwhile
from flows.parameters import NO_OVERRIDES, Number, Overrides, Preset, RunName, StoreUri
from flows.start import begin, first_unfinished, name_flow_run, starting_point
from tasks.evaluate import evaluate
from tasks.generate_questions import generate_questions
from tasks.sample_answers import sample_answers
from tasks.sample_evaluation import sample_evaluation
from tasks.score_and_filter import score_and_filter
from tasks.stage.task import Run
from tasks.train_challenger import train_challenger
from tasks.train_solver import train_solver


@flow(name="rzero", flow_run_name="{run}", persist_result=False)
def iteration(
    run: RunName,
    preset: Preset | None = None,
    iteration: Number | None = None,
    store: StoreUri | None = None,
    overrides: Overrides = NO_OVERRIDES,
) -> Any:
    """Run, or resume, one iteration of a run.

    Args:
        run: Name of the run: letters, digits, '.', '_' and '-'; a new name begins a new run.
        preset: What a new run begins with; 'tiny' where none is chosen.
        iteration: Number of the iteration, from 1; the first unfinished one where none is named.
        store: A folder or s3://bucket/prefix; else the worker's $RZERO_STORE, else ./rzero-store.
        overrides: Settings that differ from the preset's, by dotted key: {"solver.learning_rate": 2e-6}.

    Returns a state, Completed, where another flow run did meanwhile what this one was started for; else None.
    """
    config = begin(run, preset, store, overrides, iteration=iteration)
    if iteration is None and (why := finished_meanwhile(config)):
        return Completed(message=why)
    crash_what_the_dead_left()
    this = Run(config=config, iteration=iteration or first_unfinished(config))
    name_flow_run(f"{run} iteration {this.iteration} ({config.preset})")
    tell_start(this)
    with watched(this):
        challenger, solver, earlier = starting_point(this)
        challenger = train_challenger(this, challenger=challenger, solver=solver, earlier=earlier)
        questions = generate_questions(this, challenger=challenger)
        solver = challenger if config.roles == "one" else solver
        answers = sample_answers(this, questions=questions, solver=solver)
        curriculum = score_and_filter(this, questions=questions, answers=answers, earlier=earlier)
        solver = train_solver(this, solver=solver, curriculum=curriculum)
        completions = sample_evaluation(this, solver=solver)
        evaluate(this, completions=completions)
    tell_end(this)
