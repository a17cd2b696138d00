"""A run's gates: their settings, what of them may change, and a Solver that one has chosen."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from data.gates import GatesConfig
from data.resolve import ConfigError, resolve
from flows.cli import main
from flows.start import begin, ended_before
from infra.artifacts.artifact import ArtifactRef
from infra.artifacts.runs import freeze_run, load_run
from infra.store.store import Store, StoreError
from tasks.stage.graph import STAGES, locate
from tasks.stage.solvers import ChosenSolver, choose_solver, chosen_solvers
from tasks.stage.walk import walk
from tests.unit.report.conftest import make_run

CHOSEN = ChosenSolver(solver_of=0, why="a test")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def test_a_gate_that_is_set_in_part_keeps_the_rest_of_its_default() -> None:
    gates = resolve("a", overrides=["gates.kept_share.action=stop", "gates.valid_share.threshold=0.7"]).gates
    assert (gates.kept_share.threshold, gates.kept_share.action) == (0.05, "stop")
    assert (gates.valid_share.threshold, gates.valid_share.action) == (0.7, "warn")
    assert gates.unique_share == GatesConfig().unique_share


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("gates.kept_share.action=halt", "gates.kept_share.action: input should be 'off', 'warn', 'stop' or"),
        ("gates.kept_share.threshold=2", "gates.kept_share.threshold: input should be less than or equal"),
        ("gates.kept=0.1", "gates.kept: .*kept_share"),
        ("gates=off", "gates: input should be"),
        ("gates.kept_share=off", "gates.kept_share: input should be"),
    ],
)
def test_what_is_no_gate_is_refused_in_one_line(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        resolve("a", overrides=[override])
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["gates.label_accuracy.action=stop", "domain=mathematics"],
            "gates.label_accuracy.action: nothing says whether a label of the domain 'mathematics' is right",
        ),
        (
            ["gates.accuracy_drop.action=stop", "evaluation.samples=0"],
            "gates.accuracy_drop.action: 'stop' goes by pass@1, and no benchmark",
        ),
        (
            ["gates.kept_share.action=best_solver", "evaluation.benchmarks=[]"],
            "gates.kept_share.action: 'best_solver' goes by pass@1, and no benchmark",
        ),
    ],
)
def test_a_gate_that_could_never_act_is_refused_and_nothing_is_written(
    overrides: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        begin("a", store=str(tmp_path / "store"), overrides=overrides)
    assert not list(tmp_path.iterdir())


def test_gates_are_in_no_key() -> None:
    ref = ArtifactRef(uri="u", digest="d", kind="model", bytes=1)
    one, other = resolve("a"), resolve("a", overrides=["gates.kept_share.action=stop"])
    for name, stage in STAGES.items():
        inputs = dict.fromkeys(stage.inputs_in(one, 1), ref)
        assert locate(one, 1, name, inputs) == locate(other, 1, name, inputs)


def test_a_run_goes_on_with_other_gates_and_keeps_all_else_that_it_was_begun_with(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    begun = resolve("a", overrides=["questions.count=77", "gates.kept_share.action=stop"], store=store.uri)
    freeze_run(store, begun)
    begin("a", store=store.uri, overrides=["gates.kept_share.action=off", "timeout_seconds.evaluate=60"])
    begin("a", store=store.uri, overrides={"gates.valid_share.threshold": 0.7})
    saved = load_run(store, "a")
    assert saved is not None
    assert (saved.questions.count, saved.timeout_seconds) == (77, {"evaluate": 60})
    assert (saved.gates.kept_share.action, saved.gates.valid_share.threshold) == ("off", 0.7)
    assert saved.model_copy(update={"gates": begun.gates, "timeout_seconds": {}}) == begun


def test_a_run_that_was_begun_without_gates_goes_on(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    freeze_run(store, resolve("a", store=store.uri))
    path = tmp_path / "runs/a/run.json"
    values = json.loads(path.read_text())
    del values["gates"]
    path.write_text(json.dumps(values))
    assert begin("a", store=store.uri) == resolve("a", store=store.uri)


def test_an_iteration_begins_with_the_chosen_solver_and_the_last_challenger(store: Store) -> None:
    config = make_run(store, iterations=2)
    before = {(step.iteration, step.stage): step for step in walk(store, config, 2)}
    base, first = (before[key].ref for key in ((0, "prepare_base_model"), (1, "train_challenger")))
    choose_solver(store, "made", 2, CHOSEN)
    after = {(step.iteration, step.stage): step for step in walk(store, config, 2)}
    changed = [key for key in after if after[key] != before[key]]
    assert changed == [key for key in after if key[0] >= 2]
    again = config.model_copy(update={"store": store.uri})
    ended = ended_before(again, 2)
    assert (ended["solver"], ended["challenger"]) == (base, first)
    made = {"challenger": first, "solver": base}
    assert base is not None
    assert first is not None
    assert after[2, "train_challenger"].location == locate(
        config, 2, "train_challenger", {name: ref for name, ref in made.items() if ref is not None}
    )
    # Where nothing was chosen, it begins as ever.
    assert ended_before(again, 1) == {}


def test_the_first_choice_for_an_iteration_holds(store: Store) -> None:
    assert choose_solver(store, "a", 3, CHOSEN) == CHOSEN
    assert choose_solver(store, "a", 3, ChosenSolver(solver_of=1, why="late")) == CHOSEN
    assert chosen_solvers(store, "a") == {3: CHOSEN}
    assert chosen_solvers(store, "b") == {}


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"solver_of": -1, "why": ""}', b'{"solver_of": 3, "why": ""}', b"\xff"]
)
def test_a_choice_that_cannot_be_read_stops_the_run_in_one_line(store: Store, content: bytes) -> None:
    store.put("runs/a/solvers/iteration=3.json", content)
    with pytest.raises(StoreError, match=r"solvers/iteration=3\.json") as refused:
        walk(store, resolve("a", store=store.uri), 3)
    assert str(refused.value).isprintable()


def test_status_names_what_has_tripped_and_how_to_go_on(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    overrides = ["gates.accuracy_drop.action=off", "gates.kept_share={threshold: 1.0, action: stop}"]
    make_run(store, iterations=1, overrides=overrides, stop_before=(1, "train_solver"))
    line = "gate kept_share tripped in iteration 1: "
    shown = CliRunner().invoke(main, ["status", "made", "--store", store.uri])
    assert line in shown.stdout
    assert "is below its threshold of 1" in shown.stdout
    assert "A gate has stopped it." in shown.stdout
    command = " ".join(shown.stdout.replace("\\\n", " ").split())
    assert command.endswith(f"rzero run --run made --store {store.uri} --set gates.kept_share.action=off")
    rows = json.loads(CliRunner().invoke(main, ["status", "made", "--store", store.uri, "--json"]).stdout)
    told = {(row["iteration"], row["stage"]): row["gates"] for row in rows if row["gates"]}
    assert list(told) == [(1, "score_and_filter")]
    (gate,) = told[1, "score_and_filter"]
    assert (gate["gate"], gate["threshold"], gate["action"]) == ("kept_share", 1.0, "stop")


def test_the_overview_and_the_report_tell_of_gates_and_of_a_chosen_solver(tmp_path: Path) -> None:
    from flows.overview import overview_text
    from flows.report.read import read_runs
    from flows.report.story import report_html

    store = Store(str(tmp_path))
    make_run(store, iterations=1, overrides=["gates.kept_share.threshold=1.0"])
    choose_solver(store, "made", 2, CHOSEN)
    (run,) = read_runs(store, ["made"])
    for page in (overview_text(run), report_html(store, [run])):
        told = page.replace("\\", "")
        assert "gate kept_share tripped in iteration 1: " in told
        assert "iteration 2 begins with the base model as Solver: a test" in told
