"""The tutorial's commands that look at a run do so at a real one, and its benchmark is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from data import domains
from data.benchmark import Benchmark
from flows.cli import main
from tests.support.pages import ROOT, blocks, typed

TUTORIAL = ROOT / "docs/tutorial.md"
LOOKING = [
    words[1:]
    for words in (*typed(TUTORIAL), *typed(ROOT / "docs/faq.md"))
    if words[1] in ("status", "inspect", "results") and words[2] == "first"
]


@pytest.mark.parametrize("words", LOOKING, ids=" ".join)
def test_a_command_that_looks_at_a_run_shows_it(words: list[str], small_store: Path) -> None:
    named = ["small" if word == "first" else word for word in words]
    shown = CliRunner().invoke(main, [*named, "--store", str(small_store)], catch_exceptions=False)
    assert shown.exit_code == 0, shown.output
    # A question is shown, not an empty table.
    assert len(shown.output.splitlines()) > 3
    assert "\n0 rows" not in shown.output


def test_the_tutorials_benchmark_is_read_with_the_right_answers() -> None:
    names: dict[str, Any] = {}
    (declared,), (data,) = blocks(TUTORIAL, "python"), blocks(TUTORIAL, "json")
    exec(declared, names)
    benchmark: Benchmark = names["BENCHMARK"]
    problems = [benchmark.problem_of(number, json.loads(row)) for number, row in enumerate(data.splitlines())]
    truth = domains.get("arithmetic").truth
    assert [problem.gold for problem in problems] == [truth(problem.problem).answer for problem in problems]
    assert len(problems) == 3
