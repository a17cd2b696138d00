"""Names that come from a store and are about to become paths."""

from __future__ import annotations

_LONGEST_BYTES = 255


def plain_name(name: str) -> str:
    """`name`, if it names one file of a folder, as a data file of an artifact is named.

    ValueError otherwise: for a path (absolute, or with a separator of any system), "." and "..", characters
    that are not printable, surrounding spaces, more than 255 bytes, or a leading underscore, by which the
    store's own files are known.
    """
    if not isinstance(name, str):
        raise ValueError(f"{name!r:.80} is no file name")
    if not name or name != name.strip() or not name.isprintable():
        problem = "it is empty, or has spaces around it, or characters that are not printable"
    elif name in (".", "..") or "/" in name or "\\" in name:
        problem = "it is a path"
    elif name.startswith("_"):
        problem = "names with a leading underscore are the store's own"
    elif len(name.encode()) > _LONGEST_BYTES:
        problem = f"it is longer than {_LONGEST_BYTES} bytes"
    else:
        return name
    raise ValueError(f"{name!r:.80} is no name of a file: {problem}")


def plain_path(path: str) -> str:
    """`path`, if each of its parts is a plain name; ValueError otherwise."""
    for name in path.split("/"):
        plain_name(name)
    return path


def store_path(path: str) -> str:
    """`path`, if it lies within a store, the store's own folders included; ValueError otherwise."""
    for name in path.split("/"):
        plain_name(name.removeprefix("_"))
    return path
