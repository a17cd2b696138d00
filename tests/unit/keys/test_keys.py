"""Keys are taken clean or refused, and stand in no message."""

from __future__ import annotations

import base64
import os
from urllib.parse import quote

import pytest
from click.testing import CliRunner

from flows.cli import main
from infra.keys import JUDGE_KEY, SECRETS, Key, KeyRefused, clean_environment, key_for, key_in, said_by

PLANTED = "sk-Planted/7+3=Zyx"


@pytest.mark.parametrize("around", ["\n", "\r\n", " ", "\t\n"])
def test_white_space_around_a_key_is_no_part_of_it(around: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(JUDGE_KEY, around + PLANTED + around)
    assert key_in(JUDGE_KEY).value == PLANTED
    clean_environment()
    assert os.environ[JUDGE_KEY] == PLANTED


@pytest.mark.parametrize("variable", SECRETS)
@pytest.mark.parametrize("inside", ["\n", "\r\nX-Other: 1", "\x7f", "\x1b[2J", "é", "\u202e", "\udcff"])
def test_a_key_that_no_header_can_carry_is_refused_by_every_command_and_not_shown(
    variable: str, inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, PLANTED + inside + "end")
    done = CliRunner().invoke(main, ["status", "nobody", "--store", "memory://nothing"])
    assert done.exit_code == 2
    assert done.stderr.startswith(f"rzero: ${variable} holds")
    assert "lanted" not in done.output
    with pytest.raises(KeyRefused):
        clean_environment()


def test_a_key_stands_in_no_repr() -> None:
    assert repr(Key(PLANTED)) == f"{Key(PLANTED)}" == "Key(***)"


@pytest.mark.parametrize(
    "echo",
    [
        PLANTED,
        PLANTED.upper(),
        PLANTED[::-1],
        PLANTED[:9],
        PLANTED[3:],
        quote(PLANTED, safe=""),
        base64.b64encode(PLANTED.encode()).decode(),
        f"Bearer {PLANTED}\nin a header",
        "x" * 235 + PLANTED,
    ],
)
def test_what_a_server_sends_back_of_a_key_is_not_quoted(echo: str) -> None:
    said = said_by(f"no such key: {echo}", Key(PLANTED)).lower()
    for word in (
        PLANTED,
        PLANTED[::-1],
        quote(PLANTED, safe=""),
        base64.b64encode(PLANTED.encode()).decode(),
    ):
        assert not any(word.lower()[at : at + 6] in said for at in range(len(word) - 5))


def test_what_a_server_says_of_other_things_is_quoted() -> None:
    said = said_by("max_tokens is\x1b[2J too\nlarge", Key(PLANTED))
    assert said == "max_tokens is\\u001b[2J too large"


@pytest.mark.parametrize(
    ("url", "goes"),
    [
        ("https://api.example.org/v1", True),
        ("https://API.example.org:443/v1", True),
        ("http://localhost:8000/v1", True),
        ("http://localhost:8001/v1", False),
        ("https://evil.example.com/v1", False),
        ("https://api.example.org.evil.example.com/v1", False),
        ("https://api.example.org@evil.example.com/v1", False),
        ("https://evil.example.com/api.example.org", False),
        ("https://evil.example.com#api.example.org", False),
        ("https://evil.example.com\\@api.example.org/v1", False),
    ],
)
def test_a_key_goes_to_no_host_that_the_worker_does_not_list(
    monkeypatch: pytest.MonkeyPatch, url: str, goes: bool
) -> None:
    """The endpoint is a setting of the run; whoever may start a run would otherwise be sent the key."""
    monkeypatch.setenv(JUDGE_KEY, PLANTED)
    assert key_for(JUDGE_KEY, url).value == PLANTED, "without a list the key goes where the run says"
    monkeypatch.setenv(f"{JUDGE_KEY}_HOSTS", "api.example.org, localhost:8000")
    if goes:
        assert key_for(JUDGE_KEY, url).value == PLANTED
    else:
        with pytest.raises(KeyRefused, match="does not list the host") as refused:
            key_for(JUDGE_KEY, url)
        assert PLANTED not in str(refused.value)
    monkeypatch.delenv(JUDGE_KEY)
    assert not key_for(JUDGE_KEY, url), "where there is no key, nothing is refused"
