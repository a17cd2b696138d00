"""What `rzero doctor` says of a host with GPUs; the GPUs are an `nvidia-smi` that tells of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from flows.cli import main
from infra.machine.host import OLDEST_DRIVER
from tests.support.nvidia_smi import write_nvidia_smi

ROOT = Path(__file__).parents[3]
HOST = ["NVIDIA driver", "C compiler", "/dev/shm", "host memory", "work folder"]
DEVICE = ["Python headers", "flash-attn"]
NEW = "580.95.05"


class Doctor:
    """Runs `rzero doctor` in this process with these folders on PATH alone."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, patch
        for name in ("CC", "RZERO_COMPUTE_PYTHON", "CUDA_VISIBLE_DEVICES"):
            patch.delenv(name, raising=False)

    def checks(self, path: str | Path, *options: str, **variables: str) -> dict[str, Any]:
        """Its checks by name."""
        for name, value in {"PATH": str(path), **variables}.items():
            self.patch.setenv(name, value)
        result = CliRunner().invoke(main, ["doctor", "--json", "--store", str(self.folder / "s"), *options])
        assert result.exit_code == 0, result.output
        return _by_name(result.output)


def _by_name(output: str) -> dict[str, Any]:
    return {check["name"]: check for check in json.loads(output)["checks"]}


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """The command, in an environment that names no compiler and no interpreter."""
    return Doctor(tmp_path, monkeypatch)


def test_a_machine_without_a_gpu_is_not_told_what_gpus_need(doctor: Doctor, tmp_path: Path) -> None:
    checks = doctor.checks(tmp_path / "none")
    assert not set(checks) & {*HOST, *DEVICE}
    assert "make verl-cpu" in checks["vLLM"]["mend"]


def test_where_gpus_are_expected_it_is_told_what_they_need_before_they_are_there(
    doctor: Doctor, tmp_path: Path
) -> None:
    checks = doctor.checks(tmp_path / "none", "--gpus")
    assert set(checks) >= {*HOST, *DEVICE}
    assert checks["NVIDIA driver"]["found"] == "none (no nvidia-smi)"
    assert "make verl-gpu" in checks["vLLM"]["mend"]


def test_a_driver_that_is_too_old_is_named_with_the_one_to_install(doctor: Doctor, tmp_path: Path) -> None:
    checks = doctor.checks(write_nvidia_smi(tmp_path / "old", "570.172.08", gpus=8))
    assert checks["GPU"]["found"] == "8: 0, 1, 2, 3, 4, 5, 6, 7"
    assert (checks["NVIDIA driver"]["ok"], checks["NVIDIA driver"]["found"]) == (False, "570.172.08")
    assert f"driver {OLDEST_DRIVER} or newer" in checks["NVIDIA driver"]["mend"]
    assert "; 128 needed for 8 GPUs" in checks["host memory"]["found"]
    newer = doctor.checks(write_nvidia_smi(tmp_path / "new", NEW))
    assert newer["NVIDIA driver"]["ok"]


def test_a_driver_that_does_not_answer_is_told_in_its_own_words(doctor: Doctor, tmp_path: Path) -> None:
    checks = doctor.checks(write_nvidia_smi(tmp_path / "broken", None))
    assert not checks["GPU"]["ok"]
    assert not checks["NVIDIA driver"]["ok"]
    assert "couldn't communicate with the NVIDIA driver" in checks["NVIDIA driver"]["found"]


def test_a_host_without_a_c_compiler_is_told_and_one_that_is_named_counts(
    doctor: Doctor, tmp_path: Path
) -> None:
    smi = write_nvidia_smi(tmp_path / "smi", NEW)
    missing = doctor.checks(smi)["C compiler"]
    assert (missing["ok"], missing["found"]) == (False, "none")
    assert "apt-get install gcc" in missing["mend"]
    compiler = shutil.which("gcc", path=os.defpath)
    assert compiler
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gcc").symlink_to(compiler)
    assert doctor.checks(f"{smi}:{tmp_path / 'bin'}")["C compiler"]["ok"]
    assert doctor.checks(smi, CC=compiler)["C compiler"]["found"] == compiler
    assert not doctor.checks(smi, CC="/no/such/cc")["C compiler"]["ok"]


def test_an_interpreter_without_headers_is_told(doctor: Doctor, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    code = f"import sysconfig; sysconfig.get_paths = lambda: {{'include': '{bare}'}}"
    python = tmp_path / "python"
    # What is asked, in an interpreter whose headers would lie in an empty folder.
    python.write_text(f'#!/bin/sh\nasked=$2; shift 2\nexec {sys.executable} -c "{code}\n$asked" "$@"\n')
    python.chmod(0o755)
    check = doctor.checks(write_nvidia_smi(tmp_path / "smi", NEW), RZERO_COMPUTE_PYTHON=str(python))
    headers = check["Python headers"]
    assert (headers["ok"], headers["found"]) == (False, f"no Python.h in {bare}")
    assert re.fullmatch(r"apt-get install python3\.\d+-dev", headers["mend"])


def test_a_small_dev_shm_and_a_full_work_folder_are_told(tmp_path: Path) -> None:
    smi, work = write_nvidia_smi(tmp_path / "smi", NEW), tmp_path / "work"
    work.mkdir()
    mounts = f"mount -t tmpfs -o size=64m none /dev/shm && mount -t tmpfs -o size=1g none {work}"
    alone = ["/usr/bin/unshare", "--map-root-user", "--mount", "/bin/sh", "-c"]
    if subprocess.run([*alone, mounts], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    command = [sys.executable, "-m", "flows.cli", "doctor", "--json", "--store", str(tmp_path / "s")]
    asked = subprocess.run(
        [*alone, f'{mounts} && exec "$@"', "sh", *command],
        env=os.environ | {"PATH": f"{smi}:{os.defpath}", "TMPDIR": str(work)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    checks = _by_name(asked.stdout)
    shared, folder = checks["/dev/shm"], checks["work folder"]
    assert (shared["ok"], shared["found"]) == (False, "0.06 GiB; 8 needed")
    assert "--shm-size" in shared["mend"]
    assert (folder["ok"], folder["found"]) == (False, f"1 GiB free in {work}; 90 needed")
    assert "trainer.work_folder" in folder["mend"]


def test_the_oldest_driver_is_that_of_the_cuda_of_the_lock() -> None:
    lock = (ROOT / "requirements-verl-gpu.lock").read_text()
    (major,) = set(re.findall(r"^cuda-toolkit==(\d+)\.", lock, re.MULTILINE))
    # NVIDIA's release notes of CUDA, the table of minor version compatibility.
    assert {"12": 525, "13": 580}[major] == OLDEST_DRIVER
