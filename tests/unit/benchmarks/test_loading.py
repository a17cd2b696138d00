"""Benchmarks load from files of their true shape; what is missing is told in one line."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import pytest

from data import benchmarks
from data.benchmark import BenchmarkError, Problem
from data.benchmark_files import parse_rows
from data.config import BaseModelConfig
from data.resolve import ConfigError, resolve
from flows.start import begin, overruled_samples
from infra.artifacts.problems import digest_of, freeze, problems_of
from infra.artifacts.runs import load_run
from infra.store.store import Store, StoreError
from tests.support.benchmark_rows import ROWS, write_data
from tests.support.other_package import install

MATH = ("amc23", "minerva", "math500", "gsm8k", "olympiadbench", "aime2025", "aime2024")
GENERAL = ("supergpqa", "mmlu_pro", "bbeh")
"""What the paper's two averages are taken over."""

MODEL = BaseModelConfig(name="some/model")


@pytest.mark.parametrize("parquet", [False, True], ids=["jsonl", "parquet"])
@pytest.mark.parametrize("name", ROWS)
def test_a_file_of_the_data_sets_shape_loads(
    name: str, parquet: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RZERO_BENCHMARKS", str(write_data(tmp_path, [name], parquet)))
    found = benchmarks.load(name, MODEL)
    assert [problem.problem_id for problem in found] == list(range(len(ROWS[name])))
    assert all(problem.problem and problem.gold for problem in found)


def test_jsonl_and_parquet_give_the_same_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ROWS:
        digests = set()
        for parquet in (False, True):
            folder = write_data(tmp_path / f"{parquet}", [name], parquet)
            monkeypatch.setenv("RZERO_BENCHMARKS", str(folder))
            digests.add(digest_of(benchmarks.load(name, MODEL)))
        assert len(digests) == 1, name


def test_data_may_lie_at_any_fsspec_uri(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "\n".join(json.dumps(row) for row in ROWS["gsm8k"])
    fsspec.filesystem("memory").pipe("/bench-data/gsm8k.jsonl", lines.encode())
    monkeypatch.setenv("RZERO_BENCHMARKS", "memory://bench-data")
    assert [problem.gold for problem in benchmarks.load("gsm8k", MODEL)] == ["18", "70,000"]


def test_golds_are_read_as_the_data_sets_write_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RZERO_BENCHMARKS", str(write_data(tmp_path)))
    golds = {name: [problem.gold for problem in benchmarks.load(name, MODEL)] for name in ROWS}
    assert golds["amc23"] == ["27", "36"]
    assert golds["olympiadbench"] == ["3", "(1,8,19), (2,7,13)", "-2, 1", "7.1"]
    assert golds["supergpqa"] == ["B"]
    assert golds["mmlu_pro"] == ["C", "A"]
    assert golds["bbeh"] == ["no", "(B)", "Ann, Bo"]


def test_options_stand_in_the_problem_with_their_letters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RZERO_BENCHMARKS", str(write_data(tmp_path)))
    problem = benchmarks.load("mmlu_pro", MODEL)[0]
    assert problem.group == "chemistry"
    assert problem.problem.startswith("Which gas?\n\nA. Oxygen\nB. Neon\nC. Argon\n\n")


@pytest.mark.parametrize("name", ROWS)
def test_a_machine_without_a_hub_is_told_which_file_to_provide(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    monkeypatch.setenv("RZERO_BENCHMARKS", str(tmp_path / "nothing"))
    with pytest.raises(BenchmarkError) as failure:
        benchmarks.load(name, MODEL)
    line = str(failure.value)
    assert "\n" not in line
    assert f"put {name}.parquet or {name}.jsonl" in line
    assert line.endswith(f"into {tmp_path / 'nothing'}")
    assert all(column in line for column in benchmarks.get(name).columns)


def test_without_a_folder_the_variable_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RZERO_BENCHMARKS", raising=False)
    with pytest.raises(ConfigError, match="set RZERO_BENCHMARKS to a folder or URI that holds math500"):
        begin("a", store=str(tmp_path / "store"), overrides=["evaluation.benchmarks=[math500]"])
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('{"question": "q"}\n', "row 1 has no column 'problem'; it has: question"),
        ('{"problem": "q", "answer": "1", "subject": "s"}\n{"problem": ', "line 2: it is not JSON"),
        ('{"problem": "", "answer": "1", "subject": "s"}\n', "row 1 has an empty question or answer"),
        ("", "has no rows"),
        ("7\n", "line 1 is not a JSON object"),
    ],
)
def test_data_of_another_shape_are_told_in_one_line(
    content: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "math500.jsonl").write_text(content)
    monkeypatch.setenv("RZERO_BENCHMARKS", str(tmp_path))
    with pytest.raises(BenchmarkError) as failure:
        benchmarks.load("math500", MODEL)
    assert line in str(failure.value)
    assert "math500.jsonl" in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_json_array_is_read_too_and_a_broken_parquet_file_is_told() -> None:
    assert parse_rows("a.json", b'[{"a": 1}]') == [{"a": 1}]
    with pytest.raises(BenchmarkError, match="is not a Parquet file"):
        parse_rows("a.parquet", b"no")


def test_every_benchmark_of_the_paper_is_there_and_declares_its_sampling() -> None:
    names = set(MATH) | set(GENERAL)
    assert names | {"arithmetic"} == set(benchmarks.names())
    config = resolve("a").evaluation.model_copy(update={"samples": None, "greedy": None})
    modes = {name: benchmarks.get(name).modes(config) for name in names}
    assert {name for name, mode in modes.items() if mode == {"sampled": 32}} == {
        "amc23", "aime2024", "aime2025",
    }  # fmt: skip
    assert all(mode == {"greedy": 1} for mode in modes.values() if "sampled" not in mode)
    assert {benchmarks.get(name).area for name in MATH} == {"math"}
    assert {benchmarks.get(name).area for name in GENERAL} == {"general"}


def test_copies_of_one_answer_are_not_called_samples() -> None:
    config = resolve("a", overrides=["evaluation.temperature=0"]).evaluation
    with pytest.raises(BenchmarkError, match="samples would be copies of one answer"):
        benchmarks.get("aime2024").check(config)
    assert benchmarks.get("math500").modes(config.model_copy(update={"samples": None})) == {"greedy": 1}


def test_another_package_adds_a_benchmark_by_an_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        "from data.benchmark import Benchmark\n"
        "BENCHMARK = Benchmark(area='other', question='q', answer=lambda row: row['rights'])\n"
    )
    install(tmp_path, monkeypatch, "rzero.benchmarks", "mine", source)
    (tmp_path / "mine.jsonl").write_text('{"q": "Any even prime?", "rights": ["2", "two"]}\n')
    monkeypatch.setenv("RZERO_BENCHMARKS", str(tmp_path))
    assert "mine" in benchmarks.names()
    assert benchmarks.load("mine", MODEL) == [Problem(0, "", "Any even prime?", "2", ("two",))]


def test_a_run_keeps_the_data_that_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, uri = write_data(tmp_path / "data", ["gsm8k"]), str(tmp_path / "store")
    monkeypatch.setenv("RZERO_BENCHMARKS", str(data))
    overrides = ["evaluation.benchmarks=[gsm8k]"]
    config = begin("a", store=uri, overrides=overrides)
    began = problems_of(Store(uri), config, "gsm8k")
    (data / "gsm8k.jsonl").write_text('{"question": "Other?", "answer": "#### 5"}\n')
    assert begin("a", store=uri, overrides=overrides) == config == load_run(Store(uri), "a")
    assert problems_of(Store(uri), config, "gsm8k") == began
    other = begin("b", store=uri, overrides=overrides)
    assert other.evaluation.data != config.evaluation.data
    assert [problem.gold for problem in problems_of(Store(uri), other, "gsm8k")] == ["5"]


def test_frozen_data_that_are_gone_or_damaged_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, store = write_data(tmp_path / "data", ["gsm8k"]), Store(str(tmp_path / "store"))
    monkeypatch.setenv("RZERO_BENCHMARKS", str(data))
    config = begin("a", store=store.uri, overrides=["evaluation.benchmarks=[gsm8k]"])
    path = f"benchmarks/gsm8k/{config.evaluation.data['gsm8k']}.parquet"
    whole = store.read(path)
    store.put(path, whole[:-10])
    with pytest.raises(StoreError, match="is damaged"):
        problems_of(store, config, "gsm8k")
    store.remove(path)
    assert len(problems_of(store, config, "gsm8k")) == 2
    assert store.read(path) == whole


def test_a_digest_in_the_configuration_pins_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RZERO_BENCHMARKS", str(write_data(tmp_path / "data", ["gsm8k"])))
    overrides = ["evaluation.benchmarks=[gsm8k]", "evaluation.data.gsm8k=0123"]
    with pytest.raises(ConfigError, match=r"evaluation\.data wants 0123"):
        begin("a", store=str(tmp_path / "store"), overrides=overrides)


def test_freezing_twice_leaves_one_file(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    problems = [Problem(0, "g", "q", "1", ("one",), 0.5)]
    assert freeze(store, "x", problems) == freeze(store, "x", problems) == digest_of(problems)
    assert len(store.sizes("benchmarks")) == 1


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"evaluation.benchmarks": "[aime2024, gsm8k]"}, "(aime2024: 32, gsm8k: greedy alone)"),
        ({"evaluation.benchmarks": "[aime2024]", "evaluation.samples": "10"}, None),
        ({"evaluation.benchmarks": "[aime2024]", "evaluation.samples": "null"}, None),
        ({"evaluation.benchmarks": "[arithmetic]"}, None),
        ({}, None),
    ],
)
def test_a_run_that_names_benchmarks_is_told_where_its_preset_sets_their_samples(
    settings: dict[str, str], told: str | None
) -> None:
    said = overruled_samples(resolve("a", "tiny", settings), settings)
    assert (said is None) if told is None else (said is not None and told in said)
