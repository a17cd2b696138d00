"""What `rzero export` hands to somebody who trains on it."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from flows.cli import main

TEMPLATE = "{% for message in messages %}<|solver|>{{ message.content }}\n{% endfor %}"
"""The tiny model has no chat template; with this one it reads what it read in training."""


def export_small(store: Path, folder: Path) -> tuple[Path, Path]:
    """The folders with the curriculum and the Solver of the small run's one iteration."""
    made = []
    for what, option in (("curriculum", "--curriculum"), ("solver", "--model=solver")):
        arguments = ["--iteration", "1", option, "--to", str(folder / what), "--store", str(store)]
        done = CliRunner().invoke(main, ["export", "small", *arguments])
        assert done.exit_code == 0, done.output
        made.append(folder / what)
    return made[0], made[1]
