"""A reward term that another package adds."""

from __future__ import annotations

from pathlib import Path

import pytest

WORDS = "Words of the question over those that are enough."

_MODULE = """
from pydantic import Field
from tasks.rewards.term import Column, Term, TermSettings

class WordSettings(TermSettings):
    enough: int = Field(10, ge=1, description="Words that earn the whole weight.")

def compute(batch, settings):
    words = [len((question or "").split()) for question in batch.questions]
    return {"COLUMN": [min(1.0, count / settings.enough) for count in words]}

TERM = Term(
    name="words",
    source="a test",
    role="gain",
    columns=(Column("COLUMN", "float", "WORDS"),),
    compute=compute,
    settings=WordSettings,
)
"""


def install_reward_term(folder: Path, monkeypatch: pytest.MonkeyPatch, column: str = "word_share") -> None:
    """Install a package with the reward term `words`, which pays for long questions."""
    module = f"my_term_{column}"
    (folder / f"{module}.py").write_text(_MODULE.replace("COLUMN", column).replace("WORDS", WORDS))
    info = folder / "my_term-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-term\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[rzero.reward_terms]\nwords = {module}:TERM\n")
    monkeypatch.syspath_prepend(str(folder))
