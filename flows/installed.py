"""What the wheel installs as `rzero/__init__.py`; the four folders of the code lie beside it.

`flows`, `tasks`, `infra` and `data` are names that others use too. So they are on no import path but that of
a process which imports `rzero`, as the command `rzero` does, and there they come first. Elsewhere
`import data` finds what it found before rzero was installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))


def main() -> None:
    """The command `rzero`."""
    from flows.cli import main as command

    command(prog_name="rzero")
