"""The `verl` trainer: the stage's side of a training on Ray."""

from __future__ import annotations

import contextlib
import queue
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.backends import VerlTrainerConfig
from data.config import GrpoConfig
from data.schemas import METRICS
from infra.jobs.errors import DeviceCrash
from infra.jobs.process import PACKAGES, QUIET, DeviceJob, Message, interpreter
from infra.machine.gpus import chosen_gpus
from infra.models.check import check_model_directory, parameter_count
from infra.plan.here import fitted_here
from infra.ray.address import CPU_PATIENCE, own_cluster, ray_address, token_mode
from infra.scratch import ScratchFolder
from infra.trainers.folders import copy_model
from infra.trainers.protocol import Checkpoints, Report, Reward, Trainer, TrainingJob, TrainingResult
from infra.trainers.rollouts import prompt_indices, rollout_seed
from infra.trainers.saving import Saving
from infra.trainers.verl.cluster import Cluster, Paths, check_fits, check_space, cluster_of
from infra.trainers.verl.record import Record

_ENTRY = "infra.trainers.verl.child:train"
_LOOK_EVERY_SECONDS = 1.0
# Unix sockets have short paths, and Ray puts some 66 characters below its folder.
_LONGEST_RAY_FOLDER = 40
_FIRST = "infra.trainers.verl.guard,infra.trainers.verl.actors"
_ENVIRONMENT = {"VERL_USE_EXTERNAL_MODULES": _FIRST}
_CPU_ENVIRONMENT = {
    "VERL_PLATFORM": "cpu",
    "VERL_USE_EXTERNAL_MODULES": f"{_FIRST},infra.trainers.verl.cpu.platform",
    # verl registers its FSDP engine for accelerators only.
    "VERL_ENGINE_DEVICE": "cuda",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    **CPU_PATIENCE,
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}


class VerlTrainer(Trainer):
    """Trains with verl in processes of their own (see `infra.trainers.protocol.Trainer`).

    The reward function runs here. A Ray cluster is joined where one is configured, else started and stopped;
    nothing is left running. Rollouts depend on their seeds and on the engine's arithmetic: an interrupted
    training gives the same kind of result, not the same bytes.
    """

    def __init__(self, config: VerlTrainerConfig) -> None:
        self._config = config
        self._ray_address = ray_address()

    def train(
        self, job: TrainingJob, reward: Reward, checkpoints: Checkpoints, report: Report
    ) -> TrainingResult:
        model = check_model_directory(job.model_dir)
        config = job.config
        if config.steps == 0:
            copy_model(job.model_dir, job.output_dir)
            return TrainingResult(job.output_dir, job.rollouts_schema.empty_table(), METRICS.empty_table(), 0)
        job.check()
        gpus = chosen_gpus("trainer", self._config.gpus, self._config.device)
        cluster = cluster_of(self._config, gpus, self._ray_address)
        check_fits(job.role, config, cluster)
        config, settings = fitted_here(
            job.role, model, config, self._config, cluster.workers, cluster.nodes, gpus, job.waking_share
        )
        job = replace(job, config=config)
        python = interpreter()
        with _work_folder(self._config.work_folder) as work:
            paths = Paths(self._model(job.model_dir, work), work)
            paths.checkpoints.mkdir()
            record = Record(job, cluster.workers)
            first = record.resume(checkpoints, paths.checkpoints)
            is_lora = self._config.lora_rank > 0
            check_space(job.role, work.parent, parameter_count(job.model_dir), config, first, is_lora)
            write_prompts(job, paths.data)
            spec = self._spec(job, settings, cluster, paths) | {"trained": first == config.steps}
            environment = self.environment(cluster, gpus, paths)
            # The device is free again before the last checkpoint of a training that failed is in the store.
            with (
                Saving(checkpoints) as saving,
                DeviceJob("verl", _ENTRY, spec, python, environment) as device,
            ):
                self._follow(device, record, paths, reward, saving, report)
        return TrainingResult(job.output_dir, resumed_from_step=first, **record.tables())

    def _follow(
        self,
        device: DeviceJob,
        record: Record,
        paths: Paths,
        reward: Reward,
        saving: Saving,
        report: Report,
    ) -> None:
        """Score the batches that come and record what is reported, until the training is done."""
        while True:
            try:
                message = device.messages.get(timeout=_LOOK_EVERY_SECONDS)
            except queue.Empty:
                message = Message("nothing")
                if device.silent_seconds() > self._config.stall_timeout_seconds:
                    raise device.hang("a step", self._config.stall_timeout_seconds) from None
            for step, metrics in record.read_metrics(paths.metrics):
                record.save(saving, paths.checkpoints, step)
                report(step, metrics)
            if message.kind == "score":
                device.ask(scores=record.score(message.values["samples"], reward))
                device.heard()
            elif message.kind == "rollouts_failed":
                raise DeviceCrash(f"verl: {message.values['message']}")
            elif message.kind in ("failed", "ended"):
                raise device.error_of(message)
            elif message.kind == "done":
                record.check_complete()
                return

    def _model(self, model_dir: Path, work: Path) -> Path:
        """Where the workers find the model; those of other machines look in the shared folder."""
        if self._ray_address is None or self._config.work_folder is None:
            return model_dir.resolve()
        shared = work / "model"
        copy_model(model_dir, shared)
        return shared

    def _spec(
        self, job: TrainingJob, settings: VerlTrainerConfig, cluster: Cluster, paths: Paths
    ) -> dict[str, Any]:
        ray: dict[str, Any] = {}
        ray_folder = str(paths.work / "ray")
        if cluster.address is None and len(ray_folder) <= _LONGEST_RAY_FOLDER:
            ray["+ray_kwargs.ray_init._temp_dir"] = ray_folder
        if cluster.address is not None:
            # The cluster's processes have an environment of their own.
            for package in PACKAGES:
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(package, paths.work / "packages" / package.name, ignore=ignored)
            variables = {
                "PYTHONPATH": str(paths.work / "packages"),
                "VERL_FILE_LOGGER_PATH": str(paths.metrics),
                **QUIET,
                **(_ENVIRONMENT if cluster.has_gpus else _CPU_ENVIRONMENT),
            }
            ray["+ray_kwargs.ray_init.runtime_env.env_vars"] = variables
        return {
            "role": job.role,
            "config": job.config.model_dump(mode="json", include=set(GrpoConfig.model_fields)),
            "trainer": settings.model_dump(mode="json"),
            "seed": job.seed,
            "cluster": asdict(cluster),
            "model": str(paths.model),
            "work": str(paths.work),
            "output": str(job.output_dir.resolve()),
            "ray": ray,
        }

    def environment(self, cluster: Cluster, gpus: tuple[str, ...], paths: Paths) -> dict[str, str]:
        """Variables for verl's processes besides this process's own."""
        shared = {
            **_ENVIRONMENT,
            **(token_mode() if cluster.address else own_cluster()),
            "VERL_FILE_LOGGER_PATH": str(paths.metrics),
            "HF_DATASETS_CACHE": str(paths.work / "datasets"),
            "HYDRA_FULL_ERROR": "1",
        }
        if cluster.has_gpus:
            return shared | ({"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {})
        # Numbers for Ray alone; no device is behind them.
        numbers = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(cluster.workers_per_node)))}
        return shared | _CPU_ENVIRONMENT | numbers | {"OMP_NUM_THREADS": str(self._config.threads)}


def write_prompts(job: TrainingJob, path: Path) -> None:
    """Write the prompts of all steps as the Parquet file that verl reads, in the order it takes them.

    One row a group: `extra_info` has its step, its batch's name and size, its seed, and its text as the model
    reads it. verl demands the column `prompt`, which has the text as a message; no template is applied to it.
    """
    config = job.config
    rows = [
        {
            "prompt": [{"role": "user", "content": job.prompts[index]}],
            "data_source": "rzero",
            "reward_model": {"style": "rule", "ground_truth": ""},
            "extra_info": {
                "index": index,
                "step": step,
                "group": group,
                "batch": f"step-{step}",
                "size": config.prompts_per_step * config.group_size,
                "seed": rollout_seed(job.seed, step, group),
                "text": job.prompts[index],
            },
        }
        for step in range(1, config.steps + 1)
        for group, index in enumerate(
            prompt_indices(len(job.prompts), config.prompts_per_step, step, job.seed)
        )
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)


@contextlib.contextmanager
def _work_folder(configured: str | None) -> Iterator[Path]:
    """A folder of this training's own, removed at the end."""
    parent = None if configured is None else Path(configured).expanduser().resolve()
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    with ScratchFolder("verl", parent) as folder:
        yield folder
