"""From an artifact back to its inputs, from the manifests alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from data.config import RunConfig
from data.resolve import ConfigError, resolve
from flows.commands.lineage import show_lineage
from infra.artifacts.artifact import MANIFEST, DamagedArtifact, Location
from infra.artifacts.damage import set_aside
from infra.artifacts.lineage import Node, lineage, nodes, problems
from infra.artifacts.runs import freeze_run
from infra.artifacts.writer import ArtifactWriter
from infra.store.store import Store

Finish = Callable[..., list[Location]]


@pytest.fixture
def config(store: Store) -> RunConfig:
    config = resolve("a", iterations=2)
    freeze_run(store, config)
    return config


def _root(store: Store, location: Location) -> Node:
    found = lineage(store, location)
    assert found is not None
    return found


def test_the_way_back_from_the_last_evaluation_meets_all_it_was_made_from_once(
    store: Store, config: RunConfig, finish: Finish
) -> None:
    made = finish(config, 2, 17)
    found = nodes(_root(store, made[-1]))
    evaluations = {place.path for place in made[:-2] if "evaluat" in place.stage}
    assert sorted(node.location.path for node in found) == sorted(
        {place.path for place in made} - evaluations
    )
    assert problems(found[0]) == []
    completions = found[0].sources[0].node
    assert completions is not None
    solver = completions.sources[0].node
    assert solver is not None
    assert [source.name for source in solver.sources] == ["curriculum", "solver"]


def test_an_input_that_is_gone_is_named(store: Store, config: RunConfig, finish: Finish) -> None:
    made = finish(config, 1, 10)
    store.remove(made[4].path)
    uri = store.uri_of(made[4].path)
    assert set(problems(_root(store, made[7]))) == {
        f"{uri}, 'questions' of {user.path}, is gone" for user in (made[5], made[6])
    }


def test_an_input_with_another_digest_is_named_with_both(
    store: Store, config: RunConfig, finish: Finish, tmp_path: Path
) -> None:
    made = finish(config, 1, 10)
    manifest = json.loads(store.read(f"{made[3].path}/{MANIFEST}"))
    was = manifest["digest"]
    set_aside(store, made[3])
    (tmp_path / "another").mkdir()
    (tmp_path / "another" / "config.json").write_bytes(b"another")
    writer = ArtifactWriter(store, made[3])
    writer.add_folder(tmp_path / "another")
    now = writer.commit(kind="model", stage_version=1, seed=0, inputs={}, figures={}, config={}).digest
    (problem,) = problems(_root(store, made[4]))
    assert problem.endswith(f"had digest {was}, now {now}")


def test_a_file_that_was_cut_and_a_manifest_that_cannot_be_read_are_named(
    store: Store, config: RunConfig, finish: Finish
) -> None:
    made = finish(config, 1, 10)
    store.put(f"{made[4].path}/config.json", b"")
    store.put(f"{made[3].path}/{MANIFEST}", b"{")
    cut, unreadable = problems(_root(store, made[4]))
    assert "config.json is 0 bytes long" in cut
    assert unreadable.endswith("has a manifest that cannot be read")
    with pytest.raises(DamagedArtifact):
        lineage(store, made[3])


def test_a_store_that_was_moved_has_the_same_lineage(
    store: Store, config: RunConfig, finish: Finish, tmp_path: Path
) -> None:
    made = finish(config, 1, 10)
    shutil.move(store.root, tmp_path / "elsewhere")
    moved = Store(str(tmp_path / "elsewhere"))
    assert len(nodes(_root(moved, made[7]))) == 6
    assert problems(_root(moved, made[7])) == []


def test_the_command_shows_a_tree_in_which_each_artifact_is_unfolded_once(
    store: Store, config: RunConfig, finish: Finish, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(config, 2, 17)
    show_lineage(store, config, 2, "train_solver", as_json=False)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("train_solver, iteration 2: model ")
    assert sum("/prepare_base_model/" in line for line in shown) == 1
    assert any(line.endswith("(above)") for line in shown)


def test_the_command_finds_an_artifact_whose_input_is_gone_and_says_what_is(
    store: Store, config: RunConfig, finish: Finish, capsys: pytest.CaptureFixture[str]
) -> None:
    made = finish(config, 1, 10)
    store.remove(made[5].path)
    show_lineage(store, config, 1, "train_solver", as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["artifact"] == made[7].path
    assert told["artifacts"][made[6].path]["inputs"]["answers"]["state"] == "gone"
    assert told["artifacts"][made[6].path]["inputs"]["questions"]["state"] == "there"
    assert len(told["problems"]) == 1
    show_lineage(store, config, 1, "train_solver", as_json=False)
    assert "answers = GONE:" in capsys.readouterr().out


def test_what_does_not_exist_has_no_lineage(store: Store, config: RunConfig, finish: Finish) -> None:
    finish(config, 1, 2)
    for iteration, stage, told in (
        (1, "dreams", "there is no stage 'dreams'"),
        (0, "train_solver", "there is no train_solver in iteration 0"),
        (1, "train_solver", "is not finished"),
    ):
        with pytest.raises(ConfigError, match=told):
            show_lineage(store, config, iteration, stage, as_json=False)
