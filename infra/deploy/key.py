"""The key of the local server: made once, and kept in a file that only its owner can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def make_private(folder: Path) -> None:
    """Make the folder where there is none, and close it to everyone else; OSError where it is another's."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)


def server_key(path: Path) -> str:
    """The key in the file, "rzero:…", as PREFECT_API_AUTH_STRING wants it; made where there is no file."""
    if not path.exists():
        scratch = path.with_suffix(".new")
        scratch.unlink(missing_ok=True)
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"rzero:{secrets.token_urlsafe(32)}\n")
        scratch.replace(path)
    path.chmod(0o600)
    return path.read_text().strip()
