"""Whatever a person or a store hands to the command: one clear line, and nothing written."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flows.cli import main
from infra.store.store import Store
from tests.bad_inputs.case import Case, name_of, path_in
from tests.bad_inputs.cases import CASES
from tests.support.broken_models import broken_model, whole_model
from tests.unit.report.conftest import make_run

LONGEST_LINE = 300
LONGEST_SECONDS = 30
SECRETS = re.compile(r"SECRET(?!_ACCESS_KEY)|KEY:|root:x")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A store with a finished run, a whole model, a file, a folder that nobody may write to."""
    root = tmp_path_factory.mktemp("bad")
    make_run(Store(str(root / "store")), "made", iterations=1)
    whole_model(root / "whole")
    (root / "file").write_text("a file")
    return {name: root / name for name in ("store", "whole", "file")} | {"folder": Path("/proc/self")}


@pytest.fixture
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that begins is a failure at once, and so is a command that hangs."""
    import flows.evolve
    import flows.experiment

    def begun(*arguments: Any, **more: Any) -> None:
        raise AssertionError("work has begun")

    monkeypatch.setattr(flows.evolve, "evolve", begun)
    monkeypatch.setattr(flows.experiment, "experiment", begun)


@pytest.fixture
def limited_time() -> Iterator[None]:
    """TimeoutError within a command that does not come to an end."""

    def late(*_: object) -> None:
        raise TimeoutError(f"no answer in {LONGEST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LONGEST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _files(folder: Path) -> dict[str, tuple[int, int]]:
    stats = {str(path): path.lstat() for path in folder.rglob("*")}
    return {name: (each.st_mtime_ns, each.st_size) for name, each in stats.items()}


@pytest.mark.usefixtures("nothing_starts", "limited_time")
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_a_bad_input_is_one_clear_line_and_nothing_is_written(
    case: Case, places: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = dict(places)
    if case.damage is not None:
        known["store"] = tmp_path / "damaged"
        shutil.copytree(places["store"], known["store"])
        path_in(known["store"], case.damage[0]).write_bytes(case.damage[1])
    if case.model is not None:
        known["model"] = broken_model(places["whole"], case.model, tmp_path / "model")
    arguments = list(case.arguments)
    for name, path in known.items():
        arguments = [argument.replace(f"{{{name}}}", str(path)) for argument in arguments]
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    monkeypatch.delenv("RZERO_STORE", raising=False)
    for variable, value in case.environment.items():
        if "\0" not in value:
            monkeypatch.setenv(variable, value)
    before = _files(known["store"])

    done = CliRunner().invoke(main, arguments)
    after = _files(known["store"])
    # A run that was begun by mistake must not be why the next case is refused.
    shutil.rmtree(places["store"] / "runs/new", ignore_errors=True)

    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in (1, 2), done.output
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("rzero: ")
    for path in (tmp_path, *places.values()):
        line = line.replace(str(path), "")
    assert line.isprintable()
    assert len(line) <= LONGEST_LINE
    assert not SECRETS.search(line)
    assert list(working.iterdir()) == []
    assert after == before


def test_the_table_is_as_large_as_it_claims() -> None:
    assert len({name_of(case) for case in CASES}) >= 300
