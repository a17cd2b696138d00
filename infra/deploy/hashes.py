"""Writes into locks the sha256 of every file that the package index offers for their versions.

    python -m infra.deploy.hashes requirements.lock requirements-dev.lock

The index is pip's ($PIP_INDEX_URL). A lock stays a pip requirement file of exact versions; its comments stay.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from urllib.parse import urljoin
from urllib.request import Request, urlopen

_JSON = "application/vnd.pypi.simple.v1+json"
_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s\\;]+)")


def write_hashes(lock: Path) -> int:
    """Rewrite a lock with its hashes; how many packages it pins. ValueError where a version has no file."""
    lines = [line for line in lock.read_text().splitlines() if not line.lstrip().startswith("--hash")]
    written, count = [], 0
    for line in lines:
        match = _PIN.match(line)
        if match is None:
            written.append(line)
            continue
        hashes = sorted(file_hashes(match["name"], match["version"]))
        if not hashes:
            raise ValueError(f"{lock}: the index has no file of {match['name']} {match['version']}")
        written.append(" \\\n".join([line.rstrip(" \\"), *(f"    --hash=sha256:{each}" for each in hashes)]))
        count += 1
    lock.write_text("\n".join(written) + "\n")
    return count


def file_hashes(name: str, version: str) -> set[str]:
    """sha256 of the wheels and the source archive of a version."""
    project = re.sub(r"[-_.]+", "-", name).lower()
    index = os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
    request = Request(urljoin(f"{index.rstrip('/')}/", f"{project}/"), headers={"Accept": _JSON})
    with urlopen(request, timeout=60) as answer:
        files = json.load(answer)["files"]
    return {file["hashes"]["sha256"] for file in files if _is_of(file["filename"], project, version)}


def _is_of(filename: str, project: str, version: str) -> bool:
    stem = filename.removesuffix(".tar.gz").removesuffix(".zip")
    name, _, rest = stem.rpartition("-") if stem != filename else filename.partition("-")
    given = rest if stem != filename else rest.split("-")[0]
    return re.sub(r"[-_.]+", "-", name).lower() == project and given == version


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(f"{argument}: {write_hashes(Path(argument))} packages")
