"""A real run of one model in both roles: stopped on its way, resumed, and what comes out of it."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flows.cli import main
from flows.commands.report import write_report
from flows.evolve import evolve
from infra.artifacts.artifact import Manifest, sha256
from infra.samplers import open as opening
from infra.store.store import Store
from tasks.stage.errors import GateStopped
from tests.support.manifests import manifests_of
from tests.support.small_run import small_overrides

PRESET = "tiny+one-policy"


@dataclass(frozen=True)
class Resumed:
    """'one', a run of two iterations that was stopped in its first and resumed.

    `before` is what it had made when it was stopped; `opened` says which stages made the models that were
    loaded to answer or to ask, in order. The store has 'small' too, a run of two models.
    """

    store: Path
    before: dict[str, Manifest]
    opened: list[str]

    @property
    def made(self) -> dict[str, Manifest]:
        return manifests_of(self.store, "one")


@pytest.fixture(scope="module")
def resumed(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Resumed:
    store = Path(shutil.copytree(small_store, tmp_path_factory.mktemp("one") / "store"))
    # So large a share is never kept: the run stops before its Solver trains.
    overrides = small_overrides() | {"gates.kept_share.threshold": "1", "gates.kept_share.action": "stop"}
    opened: list[str] = []
    real = opening.open_sampler

    def open_sampler(config: Any, model_dir: Path) -> Any:
        opened.append("/".join(model_dir.parts[-3:-1]))
        return real(config, model_dir)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "open_sampler", open_sampler)
        with pytest.raises(GateStopped):
            evolve(run="one", preset=PRESET, iterations=2, store=str(store), overrides=overrides)
        before = manifests_of(store, "one")
        evolve(run="one", store=str(store), overrides={"gates.kept_share.action": "off"})
    return Resumed(store, before, opened)


def test_each_training_begins_with_what_the_one_before_it_made_in_whichever_role(resumed: Resumed) -> None:
    made, before = resumed.made, resumed.before
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


def test_until_the_first_answers_a_run_of_two_models_has_done_the_same(resumed: Resumed) -> None:
    one, two = resumed.made, manifests_of(resumed.store, "small")
    same = [name for name in two if one[name].digest == two[name].digest and "=1/" in name]
    assert same == ["iteration=1/generate_questions", "iteration=1/train_challenger"]
    assert {one[name].adopted_from for name in same} == {"small"}


def test_the_model_that_wrote_the_questions_is_not_loaded_again_to_answer_them(resumed: Resumed) -> None:
    # The questions of the first iteration are those of the run 'small'.
    assert resumed.opened == [
        "iteration=1/train_challenger",
        "iteration=1/train_solver",
        "iteration=2/train_challenger",
        "iteration=2/train_solver",
    ]


def test_answers_of_a_model_that_is_loaded_for_them_alone_are_the_same(
    resumed: Resumed, tmp_path: Path
) -> None:
    store = Path(shutil.copytree(resumed.store, tmp_path / "store"))
    for folder in store.glob("runs/one/**/iteration=2/sample_answers"):
        shutil.rmtree(folder)
    assert "iteration=2/sample_answers" not in manifests_of(store, "one")
    evolve(run="one", store=str(store))
    assert {name: each.digest for name, each in manifests_of(store, "one").items()} == {
        name: each.digest for name, each in resumed.made.items()
    }


def test_a_run_that_was_not_stopped_has_made_the_same(
    resumed: Resumed, small_store: Path, tmp_path: Path
) -> None:
    store = Path(shutil.copytree(small_store, tmp_path / "store"))
    evolve(run="whole", preset=PRESET, iterations=1, store=str(store), overrides=small_overrides())
    whole = {name: each.digest for name, each in manifests_of(store, "whole").items()}
    assert whole == {name: each.digest for name, each in resumed.made.items() if name in whole}


def test_its_report_its_status_and_its_tables_are_those_of_any_run(resumed: Resumed, tmp_path: Path) -> None:
    store, made = resumed.store, resumed.made
    content = write_report(Store(str(store)), ["one"], tmp_path / "report.html").read_text(encoding="utf-8")
    assert "2 of 2 iterations finished" in content
    found = re.search(r'id="charts">(.*?)</script>', content)
    assert found is not None
    charts = json.loads(found.group(1))
    drawn = next(trace["y"] for trace in charts["accuracy"]["data"] if trace.get("name") == "pass@1")
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
    resumed: Resumed, tmp_path: Path, role: str
) -> None:
    folder, store = tmp_path / role, str(resumed.store)
    _shown("export", "one", "--iteration", "1", "--model", role, "--to", str(folder), "--store", store)
    files = {file.name: file.sha256 for file in resumed.made[f"iteration=1/train_{role}"].files}
    assert sha256((folder / "model.safetensors").read_bytes()) == files["model.safetensors"]
    assert "one model plays both" in (folder / "README.md").read_text()


def _shown(*arguments: str) -> str:
    """What a command of rzero prints."""
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output
