"""`rzero push` against a hub of the tests' own: all of it or nothing, and never a token in what it says."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from huggingface_hub import DatasetCard, ModelCard, constants
from huggingface_hub.utils import _http

from flows.cli import main
from tests.support.hub_server import HANG_UP, TOKEN, HubServer, Repository, hub_server

MODEL, DATA = "models/org/solver", "datasets/org/solver-curriculum"
ARGUMENTS = ("--iteration", "2", "--to", "org/solver")


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A hub without repositories."""
    with hub_server() as running:
        yield running


@dataclass(frozen=True)
class Pushed:
    """What a push has said."""

    code: int
    out: str
    err: str

    @property
    def refusal(self) -> str:
        """The one line that a refused push says."""
        assert self.code == 2, self.out + self.err
        assert self.out == ""
        (line,) = self.err.splitlines()
        return line


Push = Callable[..., Pushed]


@pytest.fixture
def push(made_store: Path, hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Push]:
    """`push(*arguments, token=TOKEN, store=made_store)` runs the command in this process."""
    # What huggingface_hub reads of the environment when it is imported.
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    # Xet, the protocol in which the hub takes large files today, has no server that runs here.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(_http, "_GLOBAL_CLIENT_FACTORY", _http._GLOBAL_CLIENT_FACTORY)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def run(*arguments: str, token: str = TOKEN, store: Path = made_store) -> Pushed:
        monkeypatch.setenv("HF_TOKEN", token)
        done = CliRunner().invoke(main, ["push", "made", *arguments, "--store", str(store)])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert TOKEN[:12] not in done.output
        # Nothing of what was prepared stays.
        assert not list(tmp_path.glob("rzero.*"))
        return Pushed(done.exit_code, done.stdout, done.stderr)

    yield run
    _http.close_session()


def test_a_push_uploads_a_model_and_its_curriculum_in_one_commit_each(
    made_store: Path, hub: HubServer, tmp_path: Path
) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path),
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": TOKEN,
    }
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "flows.cli",
            "push",
            "made",
            *ARGUMENTS,
            "--license",
            "mit",
            "--store",
            str(made_store),
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"{hub.url}/org/solver: 3 files, private",
        f"{hub.url}/datasets/org/solver-curriculum: 2 files, private",
    ]
    model, data = hub.repositories[MODEL], hub.repositories[DATA]
    assert (model.private, data.private) == (True, True)
    assert model.commits == data.commits == ["Solver of iteration 2 of made, by rzero"]
    (trained,) = made_store.glob("runs/made/iteration=2/train_solver/*/model.safetensors")
    assert model.files["model.safetensors"] == trained.read_bytes()
    (written,) = made_store.glob("runs/made/iteration=2/score_and_filter/*/curriculum/part-00000.parquet")
    assert data.files["part-00000.parquet"] == written.read_bytes()
    assert not pl.read_parquet(data.files["part-00000.parquet"]).is_empty()
    assert sorted(model.files) == ["README.md", "config.json", "model.safetensors"]
    assert sorted(data.files) == ["README.md", "part-00000.parquet"]
    of_model = ModelCard(model.files["README.md"].decode())
    assert (of_model.data.datasets, of_model.data.license) == (["org/solver-curriculum"], "mit")
    of_data = DatasetCard(data.files["README.md"].decode())
    assert of_data.data.license == "mit"
    assert 'load_dataset("org/solver-curriculum"' in of_data.text


def test_a_later_push_replaces_what_loaders_would_read_and_nothing_else(push: Push, hub: HubServer) -> None:
    old = {"model-00001-of-00002.safetensors": b"old", "model.safetensors.index.json": b"old"}
    hub.repositories[MODEL] = Repository(True, {**old, "LICENSE": b"mine"})
    hub.repositories[DATA] = Repository(True, {"part-00001.parquet": b"old", "plots/a.parquet": b"mine"})
    assert push(*ARGUMENTS).code == 0
    assert sorted(hub.repositories[MODEL].files) == [
        "LICENSE",
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert sorted(hub.repositories[DATA].files) == ["README.md", "part-00000.parquet", "plots/a.parquet"]
    assert [len(each.commits) for each in hub.repositories.values()] == [1, 1]


def test_a_public_push_says_so(push: Push, hub: HubServer) -> None:
    done = push(*ARGUMENTS, "--public", "--model", "challenger")
    assert done.out.count("public") == 2
    assert not any(each.private for each in hub.repositories.values())
    assert "# made: the Challenger of iteration 2" in hub.repositories[MODEL].files["README.md"].decode()


def test_nothing_goes_to_a_public_repository_unasked(push: Push, hub: HubServer) -> None:
    hub.repositories[DATA] = Repository(private=False)
    told = push(*ARGUMENTS).refusal
    assert told == ("rzero: org/solver-curriculum exists and is public: add --public, or choose another name")
    assert not any(each.commits for each in hub.repositories.values())


@pytest.mark.parametrize(
    ("part", "status", "told"),
    [
        ("/api/repos/create", 401, "does not accept the token"),
        ("/api/repos/create", 403, "org/solver: this login has no right to write there"),
        ("/api/repos/create", 500, "org/solver: http"),
        ("/api/repos/create", HANG_UP, "org/solver: no answer from http"),
        ("/api/models/org/solver/commit", 403, "org/solver: this login has no right to write there"),
        ("/api/models/org/solver/commit", 412, "org/solver was changed by somebody meanwhile"),
        ("/api/models/org/solver/commit", HANG_UP, "org/solver: no answer from http"),
        ("/large/", 403, "org/solver: this login has no right to write there"),
    ],
)
def test_a_hub_that_refuses_or_hangs_up_is_one_line_and_nothing_is_committed(
    push: Push, hub: HubServer, part: str, status: int, told: str
) -> None:
    hub.answers[part] = status
    assert told in push(*ARGUMENTS).refusal
    assert not any(each.commits or each.files for each in hub.repositories.values())


def test_a_curriculum_that_fails_leaves_a_whole_model_and_the_line_that_says_so(
    push: Push, hub: HubServer
) -> None:
    hub.answers["/api/datasets/org/solver-curriculum/commit"] = 403
    done = push(*ARGUMENTS)
    assert done.code == 2
    assert done.out == f"{hub.url}/org/solver: 3 files, private\n"
    assert done.err.startswith("rzero: org/solver-curriculum: this login has no right to write there")
    assert len(hub.repositories[MODEL].commits) == 1
    assert hub.repositories[DATA].files == {}
    hub.answers.clear()
    assert push(*ARGUMENTS).code == 0
    assert len(hub.repositories[DATA].commits) == 1


def test_the_login_of_huggingface_hub_counts_where_there_is_no_variable(
    push: Push, hub: HubServer, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(TOKEN)
    assert push(*ARGUMENTS, token="").code == 0
    hub.answers["/api/repos/create"] = 500
    told = push(*ARGUMENTS, token="").refusal
    assert told.endswith("answered 500 (no, Bearer ***): try again later")


@pytest.mark.parametrize(
    ("arguments", "token", "told"),
    [
        (
            ("--iteration", "3", "--to", "org/solver"),
            TOKEN,
            "train_solver of iteration 3 of 'made' is not finished",
        ),
        (
            ("--iteration", "3", "--to", "org/c", "--model", "challenger"),
            TOKEN,
            "score_and_filter of iteration 3 of 'made' is not finished",
        ),
        (
            ("--iteration", "0", "--to", "org/solver"),
            TOKEN,
            "--iteration: 'made' has made models in iterations 1 to 3",
        ),
        (
            ("--iteration", "9", "--to", "org/solver"),
            TOKEN,
            "--iteration: 'made' has made models in iterations 1 to 3",
        ),
        (("--iteration", "2", "--to", "solver"), TOKEN, "--to: write it as org/name"),
        (("--iteration", "2", "--to", "org/so/lver"), TOKEN, "--to: write it as org/name"),
        (("--iteration", "2", "--to", "org/" + "s" * 90), TOKEN, "--to: write it as org/name"),
        (ARGUMENTS, "", "there is no login for the hub"),
        (ARGUMENTS, "two\nlines", "$HF_TOKEN holds a line break"),
        (ARGUMENTS, "hf_ofSomebodyElse", "does not accept the token"),
    ],
)
def test_a_push_that_cannot_be_is_refused_in_one_line_and_makes_nothing(
    push: Push,
    made_store: Path,
    hub: HubServer,
    tmp_path: Path,
    arguments: tuple[str, ...],
    token: str,
    told: str,
) -> None:
    said = push(*arguments, token=token).refusal
    assert told in said
    assert hub.repositories == {}


def test_a_damaged_file_is_found_before_the_hub_is_asked(
    push: Push, made_store: Path, hub: HubServer, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(made_store, store)
    (part,) = store.glob("runs/made/iteration=2/score_and_filter/*/curriculum/part-00000.parquet")
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    assert "does not have the sha256 of its manifest" in push(*ARGUMENTS, store=store).refusal
    assert hub.asked == []


def test_without_a_network_a_push_is_refused(
    push: Push, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", f"http://user:secret@{nobody}")
        told = push(*ARGUMENTS).refusal
    assert (
        told
        == f"rzero: org/solver: no answer from http://{nobody} (ConnectError: Connection refused): try again"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in push(*ARGUMENTS).refusal
    assert hub.asked == []
