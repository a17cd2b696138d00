"""Each example of docs/extending.md is applied to a copy of the code, and what it adds is used."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.extended import HEAVY, LIGHT

ROOT = Path(__file__).parents[2]
FILES = {"benchmark": 1, "reward_term": 1, "method": 2, "domain": 1, "sampler": 2, "trainer": 2, "stage": 3}
"""How many files it takes to add one; a change that makes one of them more is a step back."""


def diffs() -> dict[str, str]:
    """The page's diffs by what they add."""
    page = (ROOT / "docs/extending.md").read_text()
    found = re.findall(r"^## An? (.+?)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    return {
        title.replace(" ", "_"): "".join(re.findall(r"^```diff\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
        for title, text in found
    }


def apply(diff: str, folder: Path, *options: str) -> str:
    """What `git apply` says of the diff in a folder that is no repository."""
    return subprocess.run(
        ["git", "apply", *options, "-"],
        cwd=folder,
        env=os.environ | {"GIT_CEILING_DIRECTORIES": str(folder.parent)},
        input=diff,
        text=True,
        capture_output=True,
        check=True,
    ).stdout


def touched(diff: str) -> list[str]:
    """The files that a diff adds or changes."""
    return [line.split("\t")[2] for line in apply(diff, ROOT, "--numstat").splitlines()]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code, with what Python has compiled of it, so that its imports are as fast."""
    copy = tmp_path_factory.mktemp("extending") / "plain"
    for folder in ("flows", "tasks", "infra", "data", "tests"):
        shutil.copytree(ROOT / folder, copy / folder)
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


@pytest.fixture(scope="module")
def extended(plain: Path) -> Path:
    """A copy with all the diffs, one after another."""
    copy = plain.with_name("extended")
    shutil.copytree(plain, copy)
    for diff in diffs().values():
        apply(diff, copy)
    return copy


@functools.cache
def outcomes(folder: Path, examples: tuple[Callable[[Path], None], ...]) -> dict[str, str | None]:
    """What each example raised. One process runs them all: most of its time goes into imports."""
    report = folder / "outcomes.json"
    subprocess.run(
        [sys.executable, "-m", "tests.support.extended", str(report), *(each.__name__ for each in examples)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        check=True,
        timeout=600,
    )
    found: dict[str, str | None] = json.loads(report.read_text())
    return found


def test_the_page_shows_each_of_them() -> None:
    assert list(diffs()) == list(FILES) == [example.__name__ for example in (*LIGHT, *HEAVY)]


@pytest.mark.parametrize("name", FILES)
def test_a_diff_applies_by_itself_and_touches_no_more_files_than_it_should(name: str, plain: Path) -> None:
    apply(diffs()[name], plain, "--check")
    assert len(touched(diffs()[name])) == FILES[name]


def test_the_table_of_the_page_counts_as_many_files() -> None:
    page = (ROOT / "docs/extending.md").read_text()
    rows = re.findall(r"^\| \[an? (.+?)\]\(#(.+?)\) \| (\d) \|", page, re.MULTILINE)
    assert {title.replace(" ", "_"): int(count) for title, _, count in rows} == FILES
    assert all(f"\n## {anchor.replace('-', ' ').capitalize()}\n" in page for _, anchor, _ in rows)


def test_the_examples_are_written_as_the_code_is(extended: Path) -> None:
    files = sorted({file for diff in diffs().values() for file in touched(diff) if file.endswith(".py")})
    for command in (["check"], ["format", "--diff"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "-q", *files],
            cwd=extended,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("example", LIGHT, ids=lambda example: example.__name__)
def test_what_an_example_adds_works(example: Callable[[Path], None], extended: Path) -> None:
    raised = outcomes(extended, LIGHT)[example.__name__]
    assert raised is None, raised


@pytest.mark.slow  # A fresh process loads torch, transformers and Prefect before they begin.
@pytest.mark.parametrize("example", HEAVY, ids=lambda example: example.__name__)
def test_what_an_example_adds_samples_trains_or_makes_an_artifact(
    example: Callable[[Path], None], extended: Path
) -> None:
    raised = outcomes(extended, HEAVY)[example.__name__]
    assert raised is None, raised
