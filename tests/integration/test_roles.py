"""A real run of one model in both roles: stopped on its way, resumed, and what comes out of it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.cli import main
from flows.commands.report import write_report
from flows.evolve import evolve
from infra.artifacts.artifact import Manifest, sha256
from infra.store.store import Store
from tasks.stage.errors import GateStopped
from tests.support.manifests import manifests_of
from tests.support.small_run import small_overrides

PRESET = "tiny+one-policy"
Made = dict[str, Manifest]


@pytest.fixture(scope="module")
def resumed(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Made]:
    """A store with 'one', a run of two iterations that was stopped in its first and resumed.

    And what it had made when it was stopped. The store has the run 'small' too, that of two models.
    """
    store = Path(shutil.copytree(small_store, tmp_path_factory.mktemp("one") / "store"))
    # So large a share is never kept: the run stops before its Solver trains.
    overrides = small_overrides() | {"gates.kept_share.threshold": "1", "gates.kept_share.action": "stop"}
    with pytest.raises(GateStopped):
        evolve(run="one", preset=PRESET, iterations=2, store=str(store), overrides=overrides)
    before = manifests_of(store, "one")
    evolve(run="one", store=str(store), overrides={"gates.kept_share.action": "off"})
    return store, before


def test_each_training_begins_with_what_the_one_before_it_made_in_whichever_role(
    resumed: tuple[Path, Made],
) -> None:
    store, before = resumed
    made = manifests_of(store, "one")
    assert "iteration=1/score_and_filter" in before
    assert "iteration=1/train_solver" not in before
    assert {name: made[name] for name in before} == before
    trainings = [f"iteration={number}/train_{role}" for number in (1, 2) for role in ("challenger", "solver")]
    policies = [made[name].digest for name in ("iteration=0/prepare_base_model", *trainings)]
    assert len(set(policies)) == 5
    for number in (1, 2):
        begins, asks, answers = policies[2 * number - 2 : 2 * number + 1]
        models = {
            stage: {
                name: ref.digest
                for name, ref in made[f"iteration={number}/{stage}"].inputs.items()
                if ref.kind == "model"
            }
            for stage in ("train_challenger", "generate_questions", "sample_answers", "train_solver")
        }
        assert models == {
            "train_challenger": {"challenger": begins, "solver": begins},
            "generate_questions": {"challenger": asks},
            "sample_answers": {"solver": asks},
            "train_solver": {"solver": asks},
        }
        assert made[f"iteration={number}/sample_evaluation"].inputs["solver"].digest == answers


def test_until_the_first_answers_a_run_of_two_models_has_done_the_same(resumed: tuple[Path, Made]) -> None:
    one, two = manifests_of(resumed[0], "one"), manifests_of(resumed[0], "small")
    same = [name for name in two if one[name].digest == two[name].digest and "=1/" in name]
    assert same == ["iteration=1/generate_questions", "iteration=1/train_challenger"]
    assert {one[name].adopted_from for name in same} == {"small"}


def test_a_run_that_was_not_stopped_has_made_the_same(
    resumed: tuple[Path, Made], small_store: Path, tmp_path: Path
) -> None:
    store = shutil.copytree(small_store, tmp_path / "store")
    evolve(run="whole", preset=PRESET, iterations=1, store=str(store), overrides=small_overrides())
    stopped = manifests_of(resumed[0], "one")
    assert {
        name: (manifest.digest, stopped[name].digest)
        for name, manifest in manifests_of(store, "whole").items()
        if manifest.digest != stopped[name].digest
    } == {}


def test_its_report_its_status_and_its_tables_are_those_of_any_run(
    resumed: tuple[Path, Made], tmp_path: Path
) -> None:
    store, _ = resumed
    content = write_report(Store(str(store)), ["one"], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "2 of 2 iterations finished" in content
    found = re.search(r'id="charts">(.*?)</script>', content)
    assert found is not None
    charts = json.loads(found.group(1))
    drawn = next(trace["y"] for trace in charts["accuracy"]["data"] if trace.get("name") == "pass@1")
    made = manifests_of(store, "one")
    assert [round(value, 6) for value in drawn] == [
        round(made[f"iteration={number}/evaluate"].figures["pass@1"], 6) for number in (0, 1, 2)
    ]
    status = json.loads(_shown("status", "one", "--store", str(store), "--json"))
    assert {row["state"] for row in status} == {"finished"}
    scored = json.loads(
        _shown("inspect", "one", "--iteration", "2", "--stage", "scored", "--store", str(store), "--json")
    )
    assert len(scored) > 0


@pytest.mark.parametrize("role", ["challenger", "solver"])
def test_the_model_is_exported_as_it_was_after_either_training(
    resumed: tuple[Path, Made], tmp_path: Path, role: str
) -> None:
    store, _ = resumed
    folder = tmp_path / role
    _shown(
        *("export", "one", "--iteration", "1", "--model", role, "--to", str(folder), "--store", str(store))
    )
    files = {file.name: file.sha256 for file in manifests_of(store, "one")[f"iteration=1/train_{role}"].files}
    assert sha256((folder / "model.safetensors").read_bytes()) == files["model.safetensors"]
    assert "one model plays both" in (folder / "README.md").read_text()


def _shown(*arguments: str) -> str:
    """What a command of rzero prints."""
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output
