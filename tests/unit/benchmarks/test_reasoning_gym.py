"""Tasks of reasoning-gym are benchmarks: made once, frozen, graded by rzero; what is wrong is told."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from data import benchmarks
from data.benchmark import BenchmarkError
from data.config import BaseModelConfig
from data.reasoning_gym import NUMBERS, WORDS, checked, problems_of_task
from data.resolve import ConfigError
from flows.start import begin
from infra.artifacts.problems import digest_of, problems_of
from infra.artifacts.runs import load_run
from infra.store.store import Store
from tasks.grading.grades import grade
from tasks.grading.reading import read_answer
from tasks.voting.equivalence import Grader

MODEL = BaseModelConfig(name="some/model")
NAME = "reasoning_gym:chain_sum?size=3&seed=0"

needs_package = pytest.mark.skipif(
    find_spec("reasoning_gym") is None, reason="pip install 'rzero[reasoning-gym]'"
)


def _other_version(
    folder: Path, patch: pytest.MonkeyPatch, answer: str = "'3'", made: str = "range(size)"
) -> None:
    """Installs a reasoning-gym whose every truth is `answer`, an expression."""
    package = folder / "other" / "reasoning_gym"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "def create_dataset(task, size, seed):\n"
        f"    return [{{'question': f'1 + {{n}}?', 'answer': {answer}}} for n in {made}]\n"
    )
    (package / "factory.py").write_text(
        "from dataclasses import make_dataclass\n"
        "DATASETS = {'chain_sum': (None, make_dataclass('Config', ['size', 'seed']))}\n"
    )
    patch.syspath_prepend(str(package.parent))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("reasoning_gym", "write it as reasoning_gym:<task>?size=200&seed=0"),
        ("reasoning-gym:gcd", "write it as reasoning_gym:<task>?size=200&seed=0"),
        ("reasoning_gym:../../gcd", "write it as reasoning_gym:<task>?size=200&seed=0"),
        ("reasoning_gym:gcd?size=2?seed=1", "write it as reasoning_gym:<task>?size=200&seed=0"),
        ("reasoning_gym:sudoku", "rzero cannot grade a task 'sudoku' of reasoning-gym; it can: acre, aiw, "),
        (
            "reasoning_gym:gcd?",
            "'' is no setting: write <setting>=<value>, the value a number, true or false",
        ),
        ("reasoning_gym:gcd?size", "'size' is no setting"),
        ("reasoning_gym:gcd?word_file=/etc/passwd", "'word_file=/etc/passwd' is no setting"),
        ("reasoning_gym:gcd?size=2&size=3", "size is set twice"),
        ("reasoning_gym:gcd?size=0", "size must be a whole number from 1 to 100000"),
        ("reasoning_gym:gcd?size=2.5", "size must be a whole number from 1 to 100000"),
        ("reasoning_gym:gcd?size=true", "size must be a whole number from 1 to 100000"),
        ("reasoning_gym:gcd?seed=-1", "seed must be a whole number from 0 to"),
        ("reasoning_gym:gcd?size=\n9", "is no setting"),
    ],
)
def test_a_name_that_asks_for_nothing_there_is_is_refused_in_one_line(name: str, line: str) -> None:
    with pytest.raises(BenchmarkError) as failure:
        benchmarks.get(name)
    assert line in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_machine_without_the_package_is_told_what_to_install_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(ConfigError) as failure:
        begin("a", store=str(tmp_path / "store"), overrides={"evaluation.benchmarks": [NAME]})
    assert str(failure.value) == (
        f"evaluation.benchmarks: {NAME!r} needs the package reasoning-gym: pip install 'rzero[reasoning-gym]'"
    )
    assert not (tmp_path / "store").exists()
    assert benchmarks.get(NAME).size == 3


@needs_package
def test_the_first_chains_are_those_worked_out_by_hand() -> None:
    found = benchmarks.load(NAME, MODEL)
    asked = "State the final answer to the following arithmetic problem: {} ="
    assert [(each.problem_id, each.problem, each.gold) for each in found] == [
        (0, asked.format("1663 - 5242 - 9376 - 8961 + 7634"), "-14282"),
        (1, asked.format("4 - 1 - 7"), "-4"),
        (2, asked.format("1 + 5"), "6"),
    ]


@needs_package
def test_settings_of_the_task_are_its_own_and_others_are_told() -> None:
    found = benchmarks.load("reasoning_gym:gcd?size=5&seed=7&min_value=12&max_value=13", MODEL)
    assert {each.gold for each in found} <= {"1", "12", "13"}
    with pytest.raises(
        BenchmarkError, match=r"the task has no setting terms; it has: .*min_numbers.*max_value"
    ):
        benchmarks.load("reasoning_gym:gcd?terms=3", MODEL)
    with pytest.raises(BenchmarkError, match="does not take these settings: max_value must be > min_value"):
        benchmarks.load("reasoning_gym:gcd?min_value=9&max_value=2", MODEL)


@needs_package
def test_problems_do_not_depend_on_the_order_of_sets_in_the_process_that_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    digests = set()
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        digests.add(digest_of(benchmarks.load("reasoning_gym:ransom_note?size=20", MODEL)))
    assert len(digests) == 1


@needs_package
def test_a_run_keeps_its_problems_and_another_version_with_others_is_new_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, overrides = str(tmp_path / "store"), {"evaluation.benchmarks": [NAME]}
    config = begin("a", store=store, overrides=overrides)
    path = f"benchmarks/reasoning_gym.chain_sum/{config.evaluation.data[NAME]}.parquet"
    assert Store(store).exists(path)
    _other_version(tmp_path, monkeypatch)
    assert begin("a", store=store, overrides=overrides) == config == load_run(Store(store), "a")
    assert [each.gold for each in problems_of(Store(store), config, NAME)] == ["-14282", "-4", "6"]
    other = begin("b", store=store, overrides=overrides)
    assert other.evaluation.data[NAME] != config.evaluation.data[NAME]
    assert [each.gold for each in problems_of(Store(store), other, NAME)] == ["3", "3", "3"]


@pytest.mark.parametrize(
    ("answer", "made", "line"),
    [
        ("'n/a'", "range(size)", "the truth of its problem 0 is 'n/a', which is no number"),
        ("None", "range(size)", "its problem 0 has no text as question or answer"),
        ("'3'", "range(2)", "the task gives 2 problems, not 3"),
        ("1 // 0", "range(size)", "does not take these settings: integer division or modulo by zero"),
        ("__import__('os')._exit(7)", "range(size)", "it ended at once"),
        ("print('{}') or '3'", "iter(int, 1)", "was not made within 1 seconds: ask for a smaller size"),
    ],
)
def test_a_version_that_gives_what_cannot_be_graded_is_told_in_one_line(
    answer: str, made: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _other_version(tmp_path, monkeypatch, answer, made)
    with pytest.raises(BenchmarkError) as failure:
        problems_of_task(NAME, timeout_seconds=1.0 if "iter" in made else 60.0)
    assert line in str(failure.value)
    assert "\n" not in str(failure.value)


def test_what_a_task_prints_is_not_taken_for_its_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _other_version(tmp_path, monkeypatch, "print('[]') or '3'")
    assert [each.gold for each in benchmarks.load(NAME, MODEL)] == ["3", "3", "3"]


@needs_package
@pytest.mark.slow  # Makes problems of every task.
def test_a_truth_is_right_where_the_tasks_own_scorer_gives_it_a_whole_point() -> None:
    import reasoning_gym

    with Grader() as grader:
        for task in NUMBERS + WORDS:
            made = reasoning_gym.create_dataset(task, size=12, seed=0)
            entries = list(made)
            benchmark = benchmarks.get(f"reasoning_gym:{task}")
            problems = checked(task, task, [(entry["question"], entry["answer"]) for entry in entries])
            golds = sorted({problem.gold for problem in problems})
            boxed = [read_answer(benchmark.grading, f"So it is \\boxed{{{gold}}}.").answer for gold in golds]
            assert boxed == golds, task
            for problem, entry in zip(problems, entries, strict=True):
                ours = [
                    each.correct for each in grade(benchmark, [(gold, problem) for gold in golds], grader)
                ]
                assert ours == [gold == problem.gold for gold in golds], task
                if task != "game_of_life_halting":  # Its scorer takes every word for true.
                    assert ours == [made.score_answer(gold, entry) == 1.0 for gold in golds], task
