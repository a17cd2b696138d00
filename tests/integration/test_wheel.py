"""The wheel works away from the repository, among folders of the user's that bear the names of ours."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from tests.support.bare_environment import ROOT, build_wheel, make_environment
from tests.support.small_run import SMALL_RUN

pytestmark = pytest.mark.slow  # Installs a wheel in an environment of its own, and runs an iteration there.

OURS = ("flows", "tasks", "infra", "data")
PROJECT = (*OURS, "tests")
HANDS_OFF = "raise SystemExit(f'{__file__} was imported')"
SMALLER = (
    *("base_model.tiny.training_steps=60", "evaluation.samples=2", "answers.shard_size=60"),
    *("challenger.steps=1", "challenger.probe_questions=0", "questions.shard_size=60", "solver.steps=1"),
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of an environment that has the wheel with the extras that `make demo` needs."""
    return make_environment(tmp_path_factory.mktemp("installed") / "venv", wheel, ("local", "report"))


def called(*command: str, scripts: Path, cwd: Path, **variables: str) -> str:
    """What a command says that finds the environment's scripts on the PATH, and not this repository."""
    ours = ("PREFECT_", "PYTHON", "RZERO_", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = f"{scripts}{os.pathsep}{os.environ['PATH']}"
    home = str(scripts.parent / "prefect")
    environment = kept | {"PATH": path, "PREFECT_HOME": home} | variables
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def project(folder: Path, content: str, *, packages: bool) -> Path:
    """A folder of the user's whose own folders have the names of ours and a module `loading` each."""
    for name in PROJECT:
        (folder / name).mkdir(parents=True)
        (folder / name / "loading.py").write_text(content)
        if packages:
            (folder / name / "__init__.py").write_text(content)
    return folder


def test_the_wheel_holds_every_file_of_the_four_folders_within_one_package(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {path.relative_to(ROOT) for name in OURS for path in (ROOT / name).rglob("*") if path.is_file()}
    shipped = {f"rzero/{path}" for path in files if path.suffix != ".pyc"} - {"rzero/flows/installed.py"}
    assert {name for name in names if ".dist-info/" not in name} == shipped | {"rzero/__init__.py"}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_an_installed_run_imports_none_of_the_users_folders(
    prefect_server: None, scripts: Path, tmp_path: Path
) -> None:
    here = project(tmp_path, HANDS_OFF, packages=True)
    options = [item for override in (*SMALL_RUN, *SMALLER) for item in ("--set", override)]
    command = ["rzero", "run", "--run", "away", "--iterations", "1", "--json", *options]
    server = {"PREFECT_API_URL": str(PREFECT_API_URL.value())}
    rows = json.loads(called(*command, scripts=scripts, cwd=here, PYTHONPATH=str(here), **server))
    assert [row["iteration"] for row in rows] == [0, 1]
    store = here / "rzero-store"
    assert len(list(store.glob("runs/away/iteration=1/*/*/_manifest.json"))) == 7
    assert list(store.glob("runs/away/*.html"))


def test_the_users_folders_are_found_as_before_the_installation(scripts: Path, tmp_path: Path) -> None:
    here = project(tmp_path, "", packages=False)
    code = "from importlib import import_module as module; import sys; "
    code += "print(*(module(f'{name}.loading').__file__ for name in sys.argv[1:]))"
    found = called("python", "-c", code, *PROJECT, scripts=scripts, cwd=here)
    assert found.split() == [str(here / name / "loading.py") for name in PROJECT]


def test_code_that_imports_rzero_first_gets_ours(scripts: Path, tmp_path: Path) -> None:
    here = project(tmp_path, HANDS_OFF, packages=True)
    code = "import rzero, flows.text, tasks.voting.votes, infra.samplers, data.benchmark; print('ours')"
    assert called("python", "-c", code, scripts=scripts, cwd=here) == "ours\n"


def test_the_guard_of_an_installed_run_does_its_duty_in_the_users_folder(
    scripts: Path, tmp_path: Path
) -> None:
    here = project(tmp_path, HANDS_OFF, packages=True)
    code = (
        "import rzero, subprocess, sys; from infra.jobs import guard\n"
        "with guard.ended_with_this_process():\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        "guard._guards[0].communicate()\n"
        "print(guard._guards[0].returncode, child.wait() < 0)"
    )
    assert called("python", "-c", code, scripts=scripts, cwd=here) == "0 True\n"
