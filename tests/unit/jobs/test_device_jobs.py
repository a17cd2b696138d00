"""Device jobs: a process of another interpreter, heard live, and never left behind."""

from __future__ import annotations

import logging
import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.jobs.errors import DeviceCrash, DeviceError, DeviceHang, DeviceOutOfMemory, DeviceSetupError
from infra.jobs.process import DeviceJob, interpreter
from infra.jobs.reap import processes_of

TIMEOUT_SECONDS = 120.0
Start = Callable[[str], DeviceJob]

ENTRIES = """
    import os, subprocess, sys, time
    from infra.jobs.errors import DeviceSetupError

    def echo(spec, channel):
        print("working on", spec["what"], flush=True)
        channel.say("ready", pid=os.getpid())
        for request in channel.requests():
            channel.say("echo", said=request["word"])
        return {"ended": True}

    def strays(spec, channel):
        # A child in a session of its own, which no process group reaches.
        sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
        stray = subprocess.Popen(sleep, start_new_session=True)
        channel.say("ready", stray=stray.pid)
        for _ in channel.requests():
            pass

    def shares(spec, channel):
        from multiprocessing import resource_tracker, shared_memory
        names = [None, f"vllm_dist_{os.getpid()}"]
        memories = [shared_memory.SharedMemory(name, create=True, size=4096) for name in names]
        for memory in memories:
            # As where the tracker is killed with the engine: nobody is left who would remove it.
            resource_tracker.unregister(memory._name, "shared_memory")
        channel.say("ready", segments=["/dev/shm/" + memory.name for memory in memories])
        for _ in channel.requests():
            pass

    def silent(spec, channel):
        for _ in channel.requests():
            pass

    def crash(spec, channel):
        raise RuntimeError("the engine is broken")

    def full(spec, channel):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    def dies(spec, channel):
        print("last words", flush=True)
        os._exit(3)

    def needs(spec, channel):
        import a_package_that_is_not_there

    def refuses(spec, channel):
        raise DeviceSetupError("prompt 3 is empty")
"""


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Callable[[str], DeviceJob]]:
    """job(entry): a running job whose entry is one of those above."""
    started: list[DeviceJob] = []
    environment = _entries_in(tmp_path)

    def start(entry: str) -> DeviceJob:
        one = DeviceJob("job", f"entries:{entry}", {"what": "this"}, sys.executable, environment)
        started.append(one)
        return one

    yield start
    for one in started:
        one.kill()


def _entries_in(folder: Path) -> dict[str, str]:
    (folder / "entries.py").write_text(textwrap.dedent(ENTRIES))
    return {"PYTHONPATH": str(folder)}


def _is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_a_job_answers_requests_and_ends_when_it_is_closed(job: Start) -> None:
    one = job("echo")
    assert one.wait_for("ready", TIMEOUT_SECONDS, "the start")["pid"] == one.pid
    one.ask(word="first")
    one.ask(word="second")
    assert one.wait_for("echo", TIMEOUT_SECONDS, "an answer")["said"] == "first"
    assert one.wait_for("echo", TIMEOUT_SECONDS, "an answer")["said"] == "second"
    one.close()
    assert not one.is_running()
    assert not one.folder.exists()


def test_its_output_is_in_the_log_of_the_stage(job: Start, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="rzero.device"):
        one = job("echo")
        one.wait_for("ready", TIMEOUT_SECONDS, "the start")
        one.close()
    assert "job: working on this" in caplog.messages


def test_what_a_job_started_is_ended_with_it_whatever_session_it_is_in(job: Start) -> None:
    one = job("strays")
    stray = one.wait_for("ready", TIMEOUT_SECONDS, "the start")["stray"]
    assert _is_alive(stray)
    one.kill()
    assert not _is_alive(stray)
    assert not _is_alive(one.pid)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no named shared memory here")
def test_the_memory_that_a_killed_job_shared_is_given_back(job: Start) -> None:
    one = job("shares")
    segments = list(map(Path, one.wait_for("ready", TIMEOUT_SECONDS, "the start")["segments"]))
    assert [segment.exists() for segment in segments] == [True, True]
    one.kill()
    assert [segment.exists() for segment in segments] == [False, False]


def test_a_job_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys\n"
        "from infra.jobs.process import DeviceJob\n"
        f"job = DeviceJob('job', 'entries:strays', {{}}, sys.executable, {_entries_in(tmp_path)!r})\n"
        f"stray = job.wait_for('ready', {TIMEOUT_SECONDS}, 'the start')['stray']\n"
        "print(job.pid, stray, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
    )
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    watched = [
        select.select([os.pidfd_open(pid)], [], [], TIMEOUT_SECONDS)[0] for pid in pids if _is_alive(pid)
    ]
    assert all(watched)
    assert not any(map(_is_alive, pids))


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        ("crash", DeviceCrash, "job: RuntimeError: the engine is broken"),
        ("full", DeviceOutOfMemory, "job: not enough memory .*Tried to allocate 2 GiB"),
        ("dies", DeviceCrash, "exit code 3; its last line: last words"),
        ("needs", DeviceSetupError, "has no package 'a_package_that_is_not_there'"),
        ("refuses", DeviceSetupError, "job: prompt 3 is empty"),
    ],
)
def test_a_failure_is_one_clear_error_that_says_whether_to_retry(
    job: Start, entry: str, error: type[DeviceError], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        job(entry).wait_for("ready", TIMEOUT_SECONDS, "the start")
    assert raised.value.retryable == issubclass(error, DeviceCrash)
    assert "\n" not in str(raised.value)


def test_silence_becomes_a_hang(job: Start) -> None:
    with pytest.raises(DeviceHang, match=r"the start of the engine took more than 0.01 s"):
        job("silent").wait_for("ready", 0.01, "the start of the engine")


def test_an_error_in_the_stage_leaves_no_process(tmp_path: Path) -> None:
    environment = _entries_in(tmp_path)
    with (
        pytest.raises(ZeroDivisionError),
        DeviceJob("job", "entries:silent", {}, sys.executable, environment) as one,
    ):
        raise ZeroDivisionError
    assert not _is_alive(one.pid)
    assert not one.folder.exists()


def test_only_the_processes_of_the_job_are_found() -> None:
    assert processes_of("0" * 32) == []


def test_an_interpreter_that_is_none_is_told_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RZERO_COMPUTE_PYTHON", "/no/python")
    with pytest.raises(DeviceSetupError, match=r"\$RZERO_COMPUTE_PYTHON: /no/python is no interpreter"):
        interpreter()
