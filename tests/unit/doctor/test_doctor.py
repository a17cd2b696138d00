"""What `rzero doctor` says of this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.cli import main
from infra.machine import doctor


def _asked(*arguments: str) -> dict[str, object]:
    result = CliRunner().invoke(main, ["doctor", "--json", *arguments])
    assert result.exit_code in (0, 1), result.output
    told: dict[str, object] = json.loads(result.output)
    return told


def _checks(told: dict[str, object]) -> dict[str, dict[str, object]]:
    checks = told["checks"]
    assert isinstance(checks, list)
    return {check["name"]: check for check in checks}


def test_everything_that_is_missing_comes_with_what_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RZERO_COMPUTE_PYTHON", "/no/such/python")
    checks = _checks(_asked("--store", str(tmp_path / "store")))
    assert checks["Python"]["ok"]
    assert checks["store"]["ok"]
    assert not checks["compute interpreter"]["ok"]
    assert "/no/such/python is no interpreter" in str(checks["compute interpreter"]["found"])
    for check in checks.values():
        assert check["ok"] or check["mend"], check


def test_a_store_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = _asked("--store", str(tmp_path / "file" / "store"))
    assert not _checks(told)["store"]["ok"]
    assert told["can_run"]["sampler transformers, trainer local"] is False  # type: ignore[index]


def test_a_prefect_api_that_does_not_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    check = _checks(_asked("--store", str(tmp_path)))["Prefect API"]
    assert not check["ok"]
    assert "http://127.0.0.1:9/api does not answer" in str(check["found"])


def test_the_compute_interpreter_is_asked_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RZERO_COMPUTE_PYTHON", sys.executable)
    check = _checks(_asked("--store", str(tmp_path)))["compute interpreter"]
    assert check["ok"]
    assert str(check["found"]).startswith(f"$RZERO_COMPUTE_PYTHON: {sys.executable}")


def test_abilities_follow_from_what_is_there() -> None:
    def check(name: str, ok: bool = True) -> doctor.Check:
        return doctor.Check(name, ok, "", "")

    basics = [check(name) for name in ("Python", "torch", "transformers", "store")]
    assert doctor.abilities(basics) == {
        "sampler transformers, trainer local": True,
        "sampler vllm, sampler server": False,
        "trainer verl": False,
        "GPU": False,
    }
    engine = [*basics, check("compute interpreter"), check("vLLM"), check("verl"), check("Ray", False)]
    assert doctor.abilities(engine)["sampler vllm, sampler server"]
    assert not doctor.abilities(engine)["trainer verl"]
    for lacking in ("NVIDIA driver", "C compiler", "Python headers"):
        host = [*engine, check("GPU"), check(lacking, False)]
        assert not doctor.abilities(host)["sampler vllm, sampler server"]


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, infra.machine.doctor; "
        "print(sorted({'torch', 'transformers', 'vllm', 'verl', 'ray', 'prefect'} & set(sys.modules)))"
    )
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "[]"
