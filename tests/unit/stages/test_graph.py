"""The stages as data: keys, order, and the way from one iteration to the next."""

from pathlib import Path

import pytest

from data.config import RunConfig
from data.resolve import resolve
from infra.artifacts.artifact import ArtifactRef
from infra.artifacts.writer import ArtifactWriter
from infra.store.store import Store
from tasks.stage.graph import STAGES, locate, stage_names, stage_seed
from tasks.stage.walk import outcome_of, walk, walk_iteration


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def _finish(store: Store, config: RunConfig, iterations: int, stages: int) -> None:
    """Commit so many unfinished stages of a run, each with one small file."""
    for _ in range(stages):
        step = next(step for step in walk(store, config, iterations) if step.ref is None)
        assert step.location is not None
        writer = ArtifactWriter(store, step.location)
        folder = Path(store.root).parent / "files"
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(f"{step.iteration} {step.stage}")
        writer.add_folder(folder)
        stage = STAGES[step.stage]
        writer.commit(kind=stage.kind, stage_version=stage.version, seed=0, inputs={}, figures={}, config={})


def test_nothing_is_located_before_its_inputs_are_there(store: Store) -> None:
    steps = walk(store, resolve("a"), 1)
    assert [step.stage for step in steps if step.location] == ["prepare_base_model"]


def test_stages_finish_in_the_papers_order(store: Store) -> None:
    config = resolve("a")
    _finish(store, config, 2, 3 + 7 + 7)
    steps = walk(store, config, 2)
    assert [step.stage for step in steps if step.iteration == 2] == list(stage_names(2))
    assert all(step.ref for step in steps)


def test_an_iteration_begins_with_the_models_of_the_one_before(store: Store) -> None:
    config = resolve("a")
    _finish(store, config, 1, 10)
    first = [step for step in walk(store, config, 1) if step.iteration == 1]
    outcome = outcome_of(first)
    assert outcome.get("challenger") == first[0].ref
    assert outcome.get("solver") == first[4].ref
    second = walk_iteration(store, config, 2, outcome)
    assert second[0].location is not None
    assert second[1].location is None


def test_the_run_name_and_the_store_do_not_enter_a_key() -> None:
    ref = ArtifactRef(uri="u", digest="d", kind="model", bytes=1)
    one = locate(resolve("a", store="x"), 1, "sample_evaluation", {"solver": ref})
    other = locate(resolve("b", store="y"), 1, "sample_evaluation", {"solver": ref})
    assert one.key == other.key


def test_a_setting_changes_only_the_keys_of_stages_that_read_it() -> None:
    ref = ArtifactRef(uri="u", digest="d", kind="model", bytes=1)
    one, other = resolve("a"), resolve("a", overrides=["solver.learning_rate=1e-3"])
    changed = {
        name
        for name, stage in STAGES.items()
        if locate(one, 1, name, dict.fromkeys(stage.inputs_in(one, 1), ref)).key
        != locate(other, 1, name, dict.fromkeys(stage.inputs_in(one, 1), ref)).key
    }
    assert changed == {"train_solver"}


def test_each_iteration_has_seeds_of_its_own_but_the_evaluation_keeps_its_dice() -> None:
    config = resolve("a")
    assert stage_seed(config, "train_solver", 1) != stage_seed(config, "train_solver", 2)
    assert stage_seed(config, "evaluate", 1) == stage_seed(config, "evaluate", 2)


def test_wrong_inputs_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="train_solver is made from"):
        locate(resolve("a"), 1, "train_solver", {})
