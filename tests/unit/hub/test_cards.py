"""Cards: the hub can read them, and they say what the store holds and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from huggingface_hub import DatasetCard, ModelCard

from data.resolve import resolve
from data.schemas import CURRICULUM, description
from flows.cli import main
from flows.hub.cards import changed_settings, hub_name, public, render_card
from flows.summary import read_steps
from infra.artifacts.artifact import Manifest, read_manifest
from infra.artifacts.runs import known_run
from infra.store.store import Store
from tasks.stage.walk import walk
from tests.unit.report.conftest import make_run


def _export(store: Path, folder: Path, *arguments: str) -> str:
    """The card of what is exported."""
    done = CliRunner().invoke(
        main,
        ["export", "made", *arguments, "--to", str(folder), "--store", str(store)],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    return (folder / "README.md").read_text()


def _manifest(store: Path, iteration: int, stage: str) -> Manifest:
    place = Store(str(store))
    steps = walk(place, known_run(place, "made"), 3)
    (step,) = (step for step in steps if (step.iteration, step.stage) == (iteration, stage))
    assert step.location is not None
    found = read_manifest(place, step.location)
    assert found is not None
    return found


def _rows(card: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, its own header left out."""
    part = card.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = re.search(r"(?:^\|.*\n)+", part, re.MULTILINE)
    assert lines is not None
    return [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in lines[0].splitlines()[2:]]


def test_the_hub_reads_a_models_card(made_store: Path, tmp_path: Path) -> None:
    text = _export(made_store, tmp_path / "solver", "--iteration", "2", "--license", "apache-2.0")
    card = ModelCard.load(tmp_path / "solver/README.md")
    assert card.data.library_name == "transformers"
    assert card.data.pipeline_tag == "text-generation"
    assert card.data.license == "apache-2.0"
    assert card.data.tags == ["r-zero", "self-play", "grpo"]
    # The tiny model is on no hub.
    assert card.data.base_model is None
    assert "https://arxiv.org/abs/2508.05004" in text
    assert "\n\n\n\n" not in text


def test_a_licence_is_named_only_if_the_user_names_it(made_store: Path, tmp_path: Path) -> None:
    _export(made_store, tmp_path / "solver", "--iteration", "2")
    assert ModelCard.load(tmp_path / "solver/README.md").data.license is None


def test_a_base_model_of_the_hub_is_named_as_the_hub_reads_it(made_store: Path) -> None:
    place, config = Store(str(made_store)), resolve("made", "qwen3-4b")
    steps = read_steps(place, known_run(place, "made"), 2)
    manifest = _manifest(made_store, 2, "train_solver")
    names = ("o/m", "o/m-curriculum")
    text = render_card("solver", config, steps, manifest, manifest.files, None, None, names)
    card = ModelCard(text)
    assert card.data.base_model == "Qwen/Qwen3-4B-Base"
    assert card.data.datasets == ["o/m-curriculum"]
    assert 'name = "o/m"' in text
    assert "tiny" not in text


def test_a_card_shows_the_accuracy_of_the_base_and_of_this_iteration_with_intervals(
    made_store: Path, tmp_path: Path
) -> None:
    text = _export(made_store, tmp_path / "solver", "--iteration", "2")
    rows = {row[2]: row for row in _rows(text, "Results")}
    assert list(rows) == ["pass@1 (mean@4)", "pass@4", "maj@4", "greedy"]
    for column, iteration in ((3, 0), (4, 2)):
        for score in _manifest(made_store, iteration, "evaluate").figures["scores"]:
            shown = "pass@1 (mean@4)" if score["measure"] == "mean@4" else score["measure"]
            if shown in rows:
                value, low, high = (f"{100 * score[name]:.1f}" for name in ("value", "low", "high"))
                assert rows[shown][:2] == ["arithmetic", "24"]
                assert rows[shown][column] == f"{value} ({low}-{high})"


def test_a_card_shows_how_the_model_was_made(made_store: Path, tmp_path: Path) -> None:
    text = _export(made_store, tmp_path / "solver", "--iteration", "2")
    manifest = _manifest(made_store, 2, "train_solver")
    assert f"`{manifest.digest}`" in text
    assert "`tiny`, 0 |" in text
    assert "| `solver.learning_rate` | `1e-05` |" in text
    assert "| `solver.steps` |" not in text
    assert f"`rzero {manifest.versions['rzero']}`" in text
    for file in manifest.files:
        assert ("/" in file.name) != (f"| `{file.name}` | {file.bytes} | `{file.sha256}` |" in text)


def test_a_card_holds_nothing_of_this_machine(made_store: Path, tmp_path: Path) -> None:
    for number, arguments in enumerate((["--curriculum"], ["--model", "solver"], ["--model", "challenger"])):
        text = _export(made_store, tmp_path / str(number), "--iteration", "2", *arguments)
        assert str(made_store) not in text
        assert _manifest(made_store, 2, "train_solver").host not in text.replace("localhost", "")


@pytest.mark.parametrize(
    "value",
    [
        "/home/me/model",
        "~/model",
        "./model",
        "../model",
        "http://judge.internal/v1",
        {"a": ["/mnt/x"]},
        "s3://b/c",
    ],
)
def test_a_setting_that_is_a_path_or_an_address_is_left_out(value: object) -> None:
    assert public(value) == "(a path or an address, left out)"


@pytest.mark.parametrize("value", [1e-5, None, "bfloat16", ["math500", "gsm8k"], "Qwen/Qwen3-4B-Base", True])
def test_other_settings_are_shown(value: object) -> None:
    assert "left out" not in public(value)


def test_settings_that_the_preset_has_not_are_shown_and_places_are_not() -> None:
    config = resolve(
        "made",
        "qwen3-4b",
        {"evaluation.judge": {"url": "http://judge.internal/v1", "model": "j"}, "store": "/mnt/x", "seed": 7},
    )
    changed = dict(changed_settings(config) or ())
    assert changed["evaluation.judge.model"] == '"j"'
    assert changed["evaluation.judge.url"] == "(a path or an address, left out)"
    assert not changed.keys() & {"evaluation.judge", "store", "seed"}
    assert changed_settings(resolve("made", "qwen3-4b")) == []
    assert changed_settings(config.model_copy(update={"preset": "gone"})) is None


def test_a_card_says_that_examples_of_people_were_shown_and_does_not_publish_them() -> None:
    shown = [{"question": "What is 6 times 7?", "answer": "42"}]
    settings = {"challenger.examples": {"file": "/home/me/people.jsonl", "count": 1, "shown": shown}}
    assert dict(changed_settings(resolve("made", "qwen3-4b", settings)) or ()) == {
        "challenger.examples.count": "1",
        "challenger.examples.file": "(a path or an address, left out)",
    }


def test_no_setting_leaves_its_cell(made_store: Path) -> None:
    place = Store(str(made_store))
    config = resolve("made", "tiny", {"base_model.name": "package:x` | <script>alert(1)</script>\n# y"})
    manifest = _manifest(made_store, 2, "train_solver")
    steps = read_steps(place, known_run(place, "made"), 2)
    text = render_card("solver", config, steps, manifest, manifest.files, None, "a\n---\n# z", (None, None))
    assert ModelCard(text).data.license == "a\n---\n# z"
    assert not re.search("^# [yz]", text, re.MULTILINE)
    shown = [line for line in text.splitlines() if "<script>" in line]
    assert [re.sub("`[^`]*`", "", line) for line in shown] == ["the model in the Python package ."]


def test_a_local_folder_is_no_model_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = resolve("made", "tiny", {"base_model.name": "org/model"}).base_model
    assert hub_name(base) == "org/model"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org/model").mkdir(parents=True)
    assert hub_name(base) is None


def test_a_challengers_card_has_its_reward_and_no_accuracy(made_store: Path, tmp_path: Path) -> None:
    text = _export(made_store, tmp_path / "challenger", "--iteration", "2", "--model", "challenger")
    assert "there is no accuracy of this model" in text
    assert _rows(text, "Results") == [
        ["this iteration's Challenger before its training", "not known"],
        ["this model", "0.350"],
    ]


def test_what_is_not_finished_is_said_to_be_unknown(made_store: Path, tmp_path: Path) -> None:
    text = _export(made_store, tmp_path / "challenger", "--iteration", "3", "--model", "challenger")
    assert [row[1] for row in _rows(text, "Results")] == ["not known", "not known"]
    assert [row[0] for row in _rows(text, "Data")] == ["1", "2"]


def test_the_base_model_gets_no_card(made_store: Path, tmp_path: Path) -> None:
    arguments = [
        "export",
        "made",
        "--iteration",
        "0",
        "--to",
        str(tmp_path / "base"),
        "--store",
        str(made_store),
    ]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "base").iterdir()) == ["config.json", "model.safetensors"]


def test_the_hub_finds_the_curriculums_parquet_by_its_card(made_store: Path, tmp_path: Path) -> None:
    _export(made_store, tmp_path / "data", "--iteration", "2", "--curriculum")
    card = DatasetCard.load(tmp_path / "data/README.md")
    (config,) = card.data.to_dict()["configs"]
    assert config["config_name"] == "default"
    (split,) = config["data_files"]
    assert split["split"] == "train"
    parts = sorted(path.name for path in (tmp_path / "data").glob("*.parquet"))
    assert split["path"] == parts
    rows = pl.read_parquet([tmp_path / "data" / name for name in parts])
    kept = _manifest(made_store, 2, "score_and_filter").figures["kept"]
    assert rows.height == kept > 0
    assert f"\n{kept} questions with labels" in card.text


def test_every_column_of_the_curriculum_is_described(made_store: Path, tmp_path: Path) -> None:
    text = _export(made_store, tmp_path / "data", "--iteration", "2", "--curriculum")
    names = pq.read_schema(tmp_path / "data/part-00000.parquet").names
    rows = _rows(text, "Columns")
    assert [row[0] for row in rows] == names == CURRICULUM.names
    for name, _, meaning in rows:
        assert re.sub(r"\\(.)", r"\1", meaning) == description(CURRICULUM, name) != ""


def test_a_curriculums_card_says_how_many_labels_are_right(made_store: Path, tmp_path: Path) -> None:
    text = _export(made_store, tmp_path / "data", "--iteration", "2", "--curriculum")
    assert [[row[0], row[3]] for row in _rows(text, "Where it comes from")] == [
        ["1", "62.5\N{NO-BREAK SPACE}%"],
        ["2", "62.5\N{NO-BREAK SPACE}%"],
    ]
    assert "- 1 of them resemble a problem of a benchmark" in text


def test_labels_that_are_not_the_majoritys_are_named(tmp_path: Path) -> None:
    make_run(Store(str(tmp_path / "store")), iterations=1, overrides=["filter.labels=truth"])
    text = _export(tmp_path / "store", tmp_path / "data", "--iteration", "1", "--curriculum")
    assert "`filter.labels` is `truth`" in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--iteration", "0", "--curriculum"], "there is no score_and_filter in iteration 0"),
        (["--iteration", "3", "--curriculum"], "score_and_filter of iteration 3 of 'made' is not finished"),
        (["--iteration", "4"], "--iteration: 'made' has iterations 0 to 3"),
        (["--iteration", "1", "--curriculum", "--model", "solver"], "leave out --model"),
    ],
)
def test_an_export_that_cannot_be_is_refused_in_one_line_and_writes_nothing(
    made_store: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    done = CliRunner().invoke(
        main, ["export", "made", *arguments, "--to", str(tmp_path / "there"), "--store", str(made_store)]
    )
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert told in line
    assert list(tmp_path.iterdir()) == []
