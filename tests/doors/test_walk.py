"""What a user does in Prefect's UI, in a real browser: a store in a bucket, keys in the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.keys import JUDGE_KEY, SERVER_KEY
from tests.support.browser import Browser, chromium
from tests.support.deployed import Deployed
from tests.support.s3_server import SECRET_KEY, S3Server, use_server
from tests.support.small_run import small_overrides
from tests.walk import Walk, walk

PLANTED = {
    JUDGE_KEY: "sk-planted-Judge-4Qw",
    SERVER_KEY: "sk-planted-Sampler-9x",
    "HF_TOKEN": "hf_planted_7Zk",
}
LONGER = {"challenger.steps": "100", "challenger.checkpoint_every_steps": "20", "iterations": "2"}
"""It is still at work when its pictures have been taken."""


def test_a_run_is_started_in_the_form_killed_retried_and_goes_on_and_the_ui_shows_no_key(
    s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    chromium()
    folder = tmp_path_factory.mktemp("walk")
    bucket = s3_server.new_bucket(behind := use_server(monkeypatch, s3_server.endpoint))
    monkeypatch.setenv("RZERO_STORE", f"s3://{bucket}/store")
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    deployed = Deployed(folder / "server")
    try:
        list(deployed.server.up())
        with Browser(folder) as browser:
            one = Walk(deployed, browser, folder, small_overrides() | LONGER)
            walk(one)
        secret = [*PLANTED.values(), SECRET_KEY, deployed.server.key_file.read_text().strip()]
        lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    finally:
        list(deployed.server.down())
    kept = [path for path in deployed.server.folder.rglob("*") if path.is_file()]
    places = {
        "the UI": "\n".join(one.pages),
        "command lines": b"\n".join(lines).decode("latin-1"),
        **{f"s3://{name}": behind.cat_file(name).decode("latin-1") for name in behind.find(bucket)},
        **{str(path): path.read_bytes().decode("latin-1") for path in kept if path.name != "key"},
    }
    assert any("prefect.db" in name for name in places)
    assert any("_manifest.json" in name for name in places)
    assert [(key[:6], place) for key in secret for place, text in places.items() if key in text] == []
