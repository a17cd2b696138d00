"""Execute the steps of a Dockerfile in a bare root, where no Docker daemon is at hand; as root, on Linux.

The root is a folder with a minimal Debian in it, the Python that the base image has included:

    debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,python3-dev bookworm ROOT
    chroot ROOT python3 -m venv /usr/local
    python -m infra.deploy.rehearse infra/deploy/Dockerfile.gpu ROOT --see /etc/resolv.conf

`--instead requirements-verl-gpu.lock=requirements-verl-cpu.lock` takes one file of the context for
another. It knows the instructions that our Dockerfiles have and no others. pip's variables of this
process count in there.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import click

_BARE_PATH = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
_ALONE = """
set -e; root=$1; shift; who=$1; shift; seen=$1; shift
mount -t proc proc "$root/proc"; mount --rbind /dev "$root/dev"
for path in $seen; do mount --bind "$path" "$root$path"; done
exec chroot --userspec="$who" "$root" "$@"
"""
"""Of root, user, paths to see and command: the command in the root, and mounts that end with it."""


def instructions(dockerfile: Path) -> Iterator[tuple[str, str]]:
    """Each instruction with what it is given, on one line and without comments."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            name, _, given = line.partition(" ")
            yield name, given.strip()


def context_files(folder: Path) -> list[str]:
    """The files that `docker build` sends, without those of `.dockerignore`."""
    patterns = (folder / ".dockerignore").read_text().split()
    found: list[str] = []
    for where, folders, files in os.walk(folder):
        inside = Path(where).relative_to(folder)
        folders[:] = [name for name in folders if not _is_ignored(inside / name, patterns)]
        found += [str(inside / name) for name in files if not _is_ignored(inside / name, patterns)]
    return sorted(found)


def _is_ignored(path: Path, patterns: Sequence[str]) -> bool:
    """Whether a pattern matches; one that begins with `**/` does so in every folder."""
    return any(
        fnmatch.fnmatchcase(path.name, pattern[3:]) if pattern.startswith("**/") else str(path) == pattern
        for pattern in patterns
    )


class Rehearsal:
    """A root in which the instructions of a Dockerfile are executed one by one."""

    def __init__(self, root: Path, context: Path, instead: dict[str, str], see: Sequence[str]) -> None:
        self.root, self.context, self.instead, self.see = root.resolve(), context, instead, see
        self.variables = {"PATH": _BARE_PATH}
        self.folder = PurePosixPath("/")
        self.user = "root"

    def execute(self, name: str, given: str) -> None:
        """One instruction; SystemExit where its command fails."""
        match name:
            case "FROM" | "ARG" | "CMD":
                return
            case "ENV":
                for pair in shlex.split(given):
                    key, _, value = pair.partition("=")
                    self.variables[key] = value.replace("${PATH}", self.variables["PATH"])
            case "WORKDIR":
                self.folder = PurePosixPath(given)
                self._real(self.folder).mkdir(parents=True, exist_ok=True)
            case "COPY":
                *sources, target = given.split()
                self._copy(sources, self.folder / target)
            case "USER":
                self.user = given
            case "RUN":
                self.run(given)
            case _:
                raise SystemExit(f"rehearse: {name} is no instruction that it knows")

    def run(self, command: str) -> None:
        """A command of the shell in the root, as the user and with the variables of this moment."""
        who = self.user if self.user == "root" else f"{self.user}:{self.user}"
        pip = {key: value for key, value in os.environ.items() if key.startswith("PIP_")}
        home = "/root" if self.user == "root" else f"/home/{self.user}"
        for path in self.see:
            there = self._real(PurePosixPath(path))
            if Path(path).is_dir():
                there.mkdir(parents=True, exist_ok=True)
            else:
                there.parent.mkdir(parents=True, exist_ok=True)
                there.touch()
        inside = ["/bin/sh", "-c", f"cd {shlex.quote(str(self.folder))} && {command}"]
        alone = ["unshare", "--mount", "--pid", "--fork", "/bin/sh", "-c", _ALONE, "sh"]
        done = subprocess.run(
            [*alone, str(self.root), who, " ".join(self.see), *inside],
            env=pip | self.variables | {"HOME": home},
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"rehearse: exit code {done.returncode} of: {command}")

    def _copy(self, sources: Sequence[str], target: PurePosixPath) -> None:
        there = self._real(target)
        there.mkdir(parents=True, exist_ok=True)
        for source in sources:
            files = context_files(self.context) if source == "." else [source]
            for file in files:
                place = there / (file if source == "." else Path(file).name)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.context / self.instead.get(file, file), place)

    def _real(self, inside: PurePosixPath) -> Path:
        return self.root / inside.relative_to("/")


@click.command()
@click.argument("dockerfile", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("root", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--instead", multiple=True, metavar="FILE=OTHER", help="Take another file of the context.")
@click.option("--see", multiple=True, metavar="PATH", help="A path of this machine to show in the root.")
@click.option("--then", multiple=True, metavar="COMMAND", help="Run this in what was built, as its user.")
def main(
    dockerfile: Path, root: Path, instead: Sequence[str], see: Sequence[str], then: Sequence[str]
) -> None:
    """Execute a Dockerfile in a bare root; the context is the working directory."""
    if os.geteuid() != 0 or root.resolve() == Path("/"):
        raise SystemExit("rehearse: needs root's rights, and a root that is not this machine's own")
    swaps = dict(pair.split("=", 1) for pair in instead)
    rehearsal = Rehearsal(root, Path.cwd(), swaps, see)
    for name, given in [*instructions(dockerfile), *(("RUN", command) for command in then)]:
        click.echo(f"== {name} {given}")
        begun = time.monotonic()
        rehearsal.execute(name, given)
        if name == "RUN":
            click.echo(f"== done in {time.monotonic() - begun:.0f} s")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
