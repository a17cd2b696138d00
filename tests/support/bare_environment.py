"""A virtual environment with a wheel and what its metadata asks for, linked from this one: no network."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def build_wheel(folder: Path) -> Path:
    """The wheel of this repository, made in `folder`."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def make_environment(folder: Path, wheel: Path, extras: Iterable[str]) -> Path:
    """Install the wheel with its extras and nothing else; the environment's folder of scripts.

    AssertionError where this environment lacks what the wheel asks for, or has another version of it.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    scripts = folder / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(scripts / "python")]
    options = ["--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "install", *options, str(wheel)], check=True, capture_output=True)
    own = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", own))
    (installed,) = metadata.distributions(path=[str(site)])
    for each in _needed_by(installed, extras):
        for name in {file.parts[0] for file in each.files or ()} - {"..", "__pycache__"}:
            # Packages of one namespace share a folder.
            if not (site / name).exists():
                (site / name).symlink_to(Path(str(each.locate_file(name))))
    return scripts


def _needed_by(wheel: metadata.Distribution, extras: Iterable[str]) -> list[metadata.Distribution]:
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(wheel, extra) for extra in ("", *extras)]
    while waiting:
        asker, extra = waiting.pop()
        for text in asker.requires or ():
            need = Requirement(text)
            if need.marker and not need.marker.evaluate({"extra": extra}):
                continue
            try:
                there = found.setdefault(need.name, metadata.distribution(need.name))
            except metadata.PackageNotFoundError:
                raise AssertionError(f"{asker.name} asks for {text}, which is not installed here") from None
            assert need.specifier.contains(there.version, prereleases=True), f"{asker.name}: {text}"
            asked = {(need.name, more) for more in ("", *need.extras)} - seen
            seen |= asked
            waiting += [(there, more) for _, more in asked]
    return list(found.values())
