"""Tasks for lm-evaluation-harness: our prompts, problems, sampling and reading, in the form that it takes."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from data import benchmarks
from data.config import RunConfig
from data.prompts import Prompts
from data.resolve import ConfigError, resolve
from data.tiny.tokenizer import build_tokenizer
from flows.cli import main
from flows.hub.harness import FOLDER, check_exportable, task_name, write_harness
from infra.artifacts.runs import freeze_run
from infra.store.store import Store
from tests.support.benchmark_rows import ROWS, write_data
from tests.support.chat_tokenizers import CHATML, chat_tokenizer
from tests.support.other_package import install
from tests.unit.benchmarks.test_grading import GOLDEN
from tests.unit.report.conftest import make_run


class _Loader(yaml.SafeLoader):
    """Reads the names of functions as texts."""


_Loader.add_constructor("!function", lambda loader, node: f"!{loader.construct_scalar(node)}")


def _task(model: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load((model / FOLDER / f"{name}.yaml").read_text(), _Loader)
    return found


def _rows(model: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (model / FOLDER / f"{name}.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an exported tiny Solver, measured in iteration 2, its weights left out."""
    folder = tmp_path_factory.mktemp("harness")
    store = Store(str(folder / "store"))
    config = make_run(store, iterations=2, overrides=["evaluation.samples=4", "evaluation.max_tokens=40"])
    model = folder / "model"
    build_tokenizer().save_pretrained(model)
    write_harness(store, config, 2, model)
    return model


@pytest.fixture
def chat_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[RunConfig, Path]:
    """A run on all benchmarks, of the tests' own data, and the folder of its model with a chat template."""
    monkeypatch.setenv("RZERO_BENCHMARKS", str(write_data(tmp_path)))
    config = resolve("chat", "qwen3-4b", {"evaluation.benchmarks": list(ROWS)})
    store = Store(str(tmp_path / "store"))
    freeze_run(store, config)
    model = tmp_path / "model"
    chat_tokenizer(CHATML).save_pretrained(model)
    write_harness(store, config, 0, model)
    return config, model


def test_a_benchmark_is_a_task_for_each_way_of_sampling(tiny_model: Path) -> None:
    names = ["rzero_arithmetic_greedy", "rzero_arithmetic_sampled"]
    files = sorted(path.name for path in (tiny_model / FOLDER).iterdir())
    assert files == ["grading.py", *(f"{name}.{ending}" for name in names for ending in ("jsonl", "yaml"))]
    greedy, sampled = (_task(tiny_model, name) for name in names)
    assert [task["tag"] for task in (greedy, sampled)] == ["rzero", "rzero"]
    assert greedy["generation_kwargs"] == {"until": ["<eos>"], "max_gen_toks": 40, "do_sample": False}
    assert sampled["generation_kwargs"] == {
        **{"until": ["<eos>"], "max_gen_toks": 40, "do_sample": True},
        **{"temperature": 1.0, "top_p": 1.0, "top_k": 0},
    }
    assert [task["repeats"] for task in (greedy, sampled)] == [1, 4]
    assert sampled["filter_list"] == [{"name": "sampled", "filter": [{"function": "take_first_k", "k": 4}]}]


def test_a_task_asks_what_rzero_asks_and_knows_what_it_found(tiny_model: Path, tmp_path: Path) -> None:
    config = resolve(
        "made", "tiny", ["base_model.tiny.solver_terms=5", "base_model.tiny.held_out_per_length=6"]
    )
    problems = benchmarks.load("arithmetic", config.base_model)
    rows = _rows(tiny_model, "rzero_arithmetic_sampled")
    assert [(row["prompt"], row["gold"]) for row in rows] == [
        (Prompts(config, tmp_path).solver(problem.problem), problem.gold) for problem in problems
    ]
    assert {len(row["rzero_correct"]) for row in rows} == {len(row["rzero_answers"]) for row in rows} == {4}
    greedy = _task(tiny_model, "rzero_arithmetic_greedy")
    metrics = [each["metric"] for each in greedy["metric_list"]]
    assert metrics == ["correct", "rzero_correct", "same_as_rzero"]


def test_a_chat_template_is_in_the_prompt_and_its_turns_end_an_answer(
    chat_model: tuple[RunConfig, Path],
) -> None:
    config, model = chat_model
    for name in ROWS:
        (mode,) = benchmarks.get(name).modes(config.evaluation)
        problems = benchmarks.load(name, config.base_model)
        rows, task = _rows(model, f"rzero_{name}_{mode}"), _task(model, f"rzero_{name}_{mode}")
        asked = [Prompts(config, model).solver(problem.problem) for problem in problems]
        assert [row["prompt"] for row in rows] == asked
        assert all(prompt.startswith("<|im_start|>system\n") for prompt in asked)
        assert all(prompt.endswith("<|im_start|>assistant\n") for prompt in asked)
        assert set(task["generation_kwargs"]["until"]) == {"<|endoftext|>", "<|im_end|>"}
        assert len(task["generation_kwargs"]["eos_token_id"]) == 2
        # Not measured, so there is nothing to compare with.
        assert [each["metric"] for each in task["metric_list"]] == ["correct"]
        assert not any("rzero_correct" in row for row in rows)


def test_samples_at_temperature_zero_are_greedy(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    overrides = ["evaluation.temperature=0", "evaluation.samples=1", "evaluation.greedy=false"]
    config = resolve("made", "tiny", overrides)
    freeze_run(store, config)
    build_tokenizer().save_pretrained(tmp_path / "model")
    write_harness(store, config, 0, tmp_path / "model")
    assert _task(tmp_path / "model", "rzero_arithmetic_sampled")["generation_kwargs"]["do_sample"] is False


@pytest.fixture(scope="module")
def exported(tiny_model: Path) -> ModuleType:
    """The exported file of Python, loaded as the harness does it."""
    spec = importlib.util.spec_from_file_location("exported", tiny_model / FOLDER / "grading.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_exported_imports_nothing_of_rzero(tiny_model: Path) -> None:
    tree = ast.parse((tiny_model / FOLDER / "grading.py").read_text())
    found = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert found - set(sys.stdlib_module_names) == {"datasets", "math_verify"}


JUDGED_OTHERWISE = {("minerva", 1, r"\boxed{\sin 2t}")}
"""Golden cases of rzero's grading that the exported grading decides in another way."""


def test_the_exported_grading_decides_the_golden_cases_as_rzero_does_but_for_those_known(
    exported: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RZERO_BENCHMARKS", str(write_data(tmp_path)))
    base = resolve("golden").base_model
    problems = {name: benchmarks.load(name, base) for name in ROWS}
    otherwise = set()
    for name, number, completion, verdict in GOLDEN:
        problem = problems[name][number]
        doc = {
            "grading": benchmarks.get(name).grading,
            "gold": problem.gold,
            "accepted": list(problem.accepted),
            "tolerance": problem.tolerance,
        }
        if exported.is_right(doc, completion) is not verdict:
            otherwise.add((name, number, completion))
    assert otherwise == JUDGED_OTHERWISE


def test_a_problems_figures_are_the_share_of_its_completions_that_are_right(exported: ModuleType) -> None:
    doc = {"grading": "math", "gold": "5", "accepted": ["6"], "tolerance": 0.0, "mode": "sampled"}
    drawn = [r"\boxed{5}", r"\boxed{6}", r"\boxed{7}", "5"]
    assert exported.graded(doc, [drawn]) == {"correct": 0.5}
    known = {"rzero_correct": [True, False, False, False]}
    assert exported.graded(doc | known, [drawn]) == {"correct": 0.5, "rzero_correct": 0.25}
    greedy = doc | {"mode": "greedy", "rzero_correct": [True]}
    for completion, same in ((r"\boxed{5}", 1.0), (r"\boxed{7}", 0.0)):
        assert exported.graded(greedy, [[completion]])["same_as_rzero"] == same


OWN = """
from data.domain import Domain

DOMAIN = Domain(challenger=lambda style: "", solver=lambda question, style: question, {})
"""
OWN_BENCHMARK = """
from data.benchmark import Benchmark, Problem

BENCHMARK = Benchmark(area="other", grading="domain", generate=lambda base: [Problem(0, "", "a", "b")])
"""


@pytest.mark.parametrize(
    ("domain", "what", "benchmark", "told"),
    [
        (
            "reads",
            "read_answer=str.partition",
            "arithmetic",
            "the domain 'reads' reads answers in its own way",
        ),
        ("equals", "equal=str.__eq__", "mine", "'mine' is graded by the equality of the domain 'equals'"),
    ],
)
def test_an_evaluation_that_no_harness_can_grade_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, domain: str, what: str, benchmark: str, told: str
) -> None:
    install(tmp_path, monkeypatch, "rzero.domains", domain, OWN.replace("{}", what))
    install(tmp_path, monkeypatch, "rzero.benchmarks", "mine", OWN_BENCHMARK)
    config = resolve("r", "tiny", {"domain": domain, "evaluation.benchmarks": ["arithmetic"]})
    asked = config.evaluation.model_copy(update={"benchmarks": (benchmark,)})
    with pytest.raises(ConfigError, match=f"--harness: {told}"):
        check_exportable(config.model_copy(update={"evaluation": asked}))


@pytest.mark.parametrize(
    ("overrides", "arguments", "told"),
    [
        ([], ["--curriculum"], "leave out --curriculum and --model challenger"),
        ([], ["--model", "challenger"], "leave out --curriculum and --model challenger"),
        # The made-up model has no tokenizer.
        ([], [], "--harness: the model's tokenizer cannot be read"),
        (["evaluation.benchmarks=[]"], [], "--harness: evaluation.benchmarks of 'made' is empty"),
    ],
)
def test_a_harness_that_cannot_be_is_refused_in_one_line_and_writes_nothing(
    tmp_path: Path, overrides: list[str], arguments: list[str], told: str
) -> None:
    make_run(Store(str(tmp_path / "store")), iterations=1, overrides=overrides)
    place = ["--to", str(tmp_path / "out" / "solver"), "--store", str(tmp_path / "store")]
    done = CliRunner().invoke(
        main, ["export", "made", "--iteration", "1", "--harness", "lm-eval", *arguments, *place]
    )
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert told in line
    assert list(tmp_path.glob("out/*")) == []


def test_benchmarks_whose_names_differ_in_signs_alone_get_tasks_of_their_own() -> None:
    names: list[str] = []
    for benchmark in ("a-b", "a_b", "gym:sum?size=3&seed=0"):
        names.append(task_name(benchmark, "greedy", names))
    assert names == ["rzero_a_b_greedy", "rzero_a_b_greedy_1", "rzero_gym_sum_size_3_seed_0_greedy"]
