"""One model in both roles: from which models each stage is made then, and that nothing else differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from data.config import RunConfig
from data.resolve import resolve
from flows.commands.lineage import show_lineage
from flows.start import starting_point
from infra.artifacts.artifact import ArtifactRef, Location, location_of, read_manifest
from infra.artifacts.runs import freeze_run
from infra.store.store import Store
from tasks.stage.graph import STAGES, locate
from tasks.stage.housekeeping import plan
from tasks.stage.solvers import ChosenSolver, choose_solver
from tasks.stage.task import Run
from tasks.stage.walk import outcome_of, walk

Finish = Callable[..., list[Location]]
WHOLE = 3 + 7 + 7
"""Stages of a run of two iterations."""

MODELS = {
    "two": {
        "train_challenger": {"challenger": (1, "train_challenger"), "solver": (1, "train_solver")},
        "generate_questions": {"challenger": (2, "train_challenger")},
        "sample_answers": {"solver": (1, "train_solver")},
        "train_solver": {"solver": (1, "train_solver")},
        "sample_evaluation": {"solver": (2, "train_solver")},
    },
    "one": {
        "train_challenger": {"challenger": (1, "train_solver"), "solver": (1, "train_solver")},
        "generate_questions": {"challenger": (2, "train_challenger")},
        "sample_answers": {"solver": (2, "train_challenger")},
        "train_solver": {"solver": (2, "train_challenger")},
        "sample_evaluation": {"solver": (2, "train_solver")},
    },
}
"""By the stages of iteration 2: the iteration and the stage that made each model it is made from."""


def _config(store: Store, roles: str, run: str = "a") -> RunConfig:
    config = resolve(run, overrides={"roles": roles}, store=store.uri, iterations=2)
    freeze_run(store, config)
    return config


def _models(store: Store, made: Sequence[Location]) -> dict[str, dict[str, tuple[int, str]]]:
    """Of iteration 2, as the manifests have it."""
    found: dict[str, dict[str, tuple[int, str]]] = {}
    for place in made:
        manifest = read_manifest(store, place)
        assert manifest is not None
        for name, ref in manifest.inputs.items() if place.iteration == 2 else ():
            source = location_of(ref.uri)
            if ref.kind == "model" and source is not None:
                found.setdefault(place.stage, {})[name] = (source.iteration, source.stage)
    return found


@pytest.mark.parametrize("roles", ["two", "one"])
def test_each_stage_is_made_from_the_models_of_its_roles(store: Store, finish: Finish, roles: str) -> None:
    config = _config(store, roles)
    assert _models(store, finish(config, 2, WHOLE)) == MODELS[roles]
    assert all(step.ref for step in walk(store, config, 2))


def test_in_the_first_iteration_only_the_answers_and_the_solvers_training_begin_with_other_weights(
    store: Store, finish: Finish
) -> None:
    two, one = (
        {place.stage: place.key for place in finish(_config(store, roles, run=roles), 1, 10)}
        for roles in ("two", "one")
    )
    # The made-up files of a stage are the same in both runs, so that a key differs by the models alone.
    assert [name for name in two if two[name] != one[name]] == ["sample_answers", "train_solver"]


@pytest.mark.parametrize("iteration", [1, 2])
def test_how_many_models_play_the_roles_is_in_no_key_of_its_own(iteration: int) -> None:
    ref = ArtifactRef(uri="u", digest="d", kind="model", bytes=1)
    two, one = resolve("a"), resolve("a", "tiny+one-policy")
    assert (two.roles, one.roles) == ("two", "one")
    for name, stage in STAGES.items():
        inputs = dict.fromkeys(stage.inputs_in(two, iteration), ref)
        assert locate(two, iteration, name, inputs) == locate(one, iteration, name, inputs)


def test_what_remembers_earlier_questions_does_so_in_one_model_too(store: Store, finish: Finish) -> None:
    overrides = {"roles": "one", "challenger.reward.memory.weight": 0.5}
    config = resolve("a", overrides=overrides, store=store.uri, iterations=2)
    made = finish(config, 2, WHOLE)
    manifest = read_manifest(store, made[10])
    assert manifest is not None
    assert sorted(manifest.inputs) == ["challenger", "earlier", "solver"]


def test_a_gate_that_goes_back_to_a_solver_takes_the_one_model_back_in_both_roles(
    store: Store, finish: Finish
) -> None:
    config = _config(store, "one")
    finish(config, 2, 10)
    base = outcome_of(walk(store, config, 0))["solver"]
    choose_solver(store, "a", 2, ChosenSolver(solver_of=0, why="a test"))
    assert starting_point(Run(config=config, iteration=2))[:2] == (base, base)
    begins = next(step for step in walk(store, config, 2) if step.iteration == 2)
    assert begins.location == locate(config, 2, "train_challenger", {"challenger": base, "solver": base})


def test_an_iteration_that_is_kept_keeps_all_that_its_one_model_came_from(
    store: Store, finish: Finish
) -> None:
    config = _config(store, "one")
    made = finish(config, 2, WHOLE)
    may_go = {item.path for item in plan(store, [config], keep_iterations=[2]).removable}
    assert may_go == {place.path for place in made[:10] if "evaluat" in place.stage}


def test_lineage_shows_one_line_of_models_from_the_last_solver_to_the_base(
    store: Store, finish: Finish, capsys: pytest.CaptureFixture[str]
) -> None:
    config = _config(store, "one")
    finish(config, 2, WHOLE)
    show_lineage(store, config, 2, "train_solver")
    tree = capsys.readouterr().out.partition("\nWhere they lie:")[0].splitlines()
    models = [line.split(": model")[0].strip(" │├└─") for line in tree if ": model" in line]
    unfolded = [line.partition("= ")[2] or line for line in models]
    order = list(dict.fromkeys(unfolded))
    assert order == [
        "train_solver, iteration 2",
        "train_challenger, iteration 2",
        "train_solver, iteration 1",
        "train_challenger, iteration 1",
        "prepare_base_model, iteration 0",
    ]
