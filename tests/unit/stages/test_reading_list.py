"""CONTRIBUTING.md says what to read first: a whole iteration that fits into one sitting."""

from __future__ import annotations

import re
from pathlib import Path

from tasks.stage.graph import stage_names

ROOT = Path(__file__).parents[3]
MOST_LINES = 1000


def _listed() -> list[str]:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text.partition("## What to read first")[2].partition("\n## ")[0]
    return re.findall(r"^\d+\. `([^`]+)`", section, re.MULTILINE)


def test_one_whole_iteration_is_read_in_a_thousand_lines() -> None:
    lines = {name: len((ROOT / name).read_text().splitlines()) for name in _listed()}
    assert lines
    assert sum(lines.values()) <= MOST_LINES, lines


def test_every_stage_of_an_iteration_is_in_the_reading_list_in_its_order() -> None:
    stages = [Path(name).stem for name in _listed() if re.fullmatch(r"tasks/\w+\.py", name)]
    assert stages == list(stage_names(1))
