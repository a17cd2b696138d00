"""A name from a listing becomes a path only if it names one file of the folder."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.artifacts.names import plain_name

PLAIN = ["part-00000.parquet", "model.safetensors", "tokenizer (1).json", "x", ".gitattributes", "größe.txt"]
OTHERS = [
    "",
    ".",
    "..",
    "../x",
    "a/../../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "..\\x",
    "a\0b",
    "a\nb",
    "\x1b[2J",
    "a\u202eb",
    "\udcff",
    " a",
    "a ",
    "_manifest.json",
    "_checkpoint.json",
    "é" * 128,
    "a" * 256,
    None,
    1,
    ["a"],
]


@pytest.mark.parametrize("name", PLAIN)
def test_the_name_of_a_file_is_left_as_it_is(name: str) -> None:
    assert plain_name(name) == name


@pytest.mark.parametrize("name", OTHERS, ids=ascii)
def test_anything_else_is_refused_in_one_printable_line(name: str) -> None:
    with pytest.raises(ValueError, match="is no ") as raised:
        plain_name(name)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 250


@given(st.text(st.sampled_from("./\\_a\0 :~\n\u2028"), max_size=6))
def test_what_is_accepted_stays_in_its_folder_on_any_system(name: str) -> None:
    try:
        accepted = plain_name(name)
    except ValueError:
        return
    for path in (PurePosixPath(accepted), PureWindowsPath("store") / accepted.replace(":", "")):
        assert ".." not in path.parts
        assert not path.is_absolute()
    assert len(PurePosixPath(accepted).parts) == 1
