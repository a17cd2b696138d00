"""The checkpoints of a training in a plain folder, for tests of trainers without a store."""

from __future__ import annotations

import shutil
from pathlib import Path


class FolderCheckpoints:
    """Checkpoints as folders beside each other."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def newest(self) -> tuple[int, Path] | None:
        steps = sorted(int(path.name) for path in self.root.iterdir()) if self.root.exists() else []
        return (steps[-1], self.root / str(steps[-1])) if steps else None

    def save(self, step: int, folder: Path) -> None:
        shutil.copytree(folder, self.root / str(step))
