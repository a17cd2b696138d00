"""vLLM servers that a stage starts: one for each replica, on loopback, with a key, ended with the stage."""

from __future__ import annotations

import contextlib
import queue
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from infra.jobs import DeviceJob, DeviceSetupError, JobGroup, interpreter
from infra.samplers.engine import engine_environment, engine_gpus, engine_options

if TYPE_CHECKING:
    from data.backends import ServerSamplerConfig

_ENTRY = "infra.samplers.server_child:serve"
_HOST = "127.0.0.1"
_LOOK_EVERY_SECONDS = 0.5
SERVED_MODEL = "rzero"


class OwnServers(JobGroup):
    """Started and healthy once constructed; `urls` are their endpoints."""

    def __init__(self, config: ServerSamplerConfig, model_dir: Path, key: str) -> None:
        super().__init__()
        options = engine_options(config, model_dir)
        layout = engine_gpus(config)
        python = interpreter(config.python, "sampler.python")
        ports = _ports(config.port, len(layout))
        self.urls = [f"http://{_HOST}:{port}/v1" for port in ports]
        with self.ended_on_error():
            for gpus, port in zip(layout, ports, strict=True):
                spec = {"options": options, "host": _HOST, "port": port, "served_model": SERVED_MODEL}
                environment = engine_environment(config, gpus) | {"VLLM_API_KEY": key}
                self.append(DeviceJob(f"vllm server :{port}", _ENTRY, spec, python, environment))
            deadline = time.monotonic() + config.start_timeout_seconds
            for job, port in zip(self, ports, strict=True):
                _wait_until_healthy(job, port, deadline, config.start_timeout_seconds)

    def check(self) -> None:
        """Raise the error of a server that is gone."""
        for job in self:
            if not job.is_running():
                job.wait_for("nothing more", 10.0, "the end of the server")


def _wait_until_healthy(job: DeviceJob, port: int, deadline: float, timeout_seconds: float) -> None:
    import httpx

    while time.monotonic() < deadline:
        with contextlib.suppress(queue.Empty):
            message = job.messages.get(timeout=_LOOK_EVERY_SECONDS)
            if message.kind in ("failed", "ended"):
                raise job.error_of(message)
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://{_HOST}:{port}/health", timeout=5.0, trust_env=False).is_success:
                return
    raise job.hang("the start of the server", timeout_seconds)


def _ports(first: int, count: int) -> Sequence[int]:
    """Free ports from `first` on, or any if it is 0; DeviceSetupError if one is taken."""
    with contextlib.ExitStack() as stack:
        ports = []
        for number in range(count):
            wanted = first + number if first else 0
            taken = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind((_HOST, wanted))
            except (OSError, OverflowError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                raise DeviceSetupError(
                    f"sampler.port: {wanted} on {_HOST} cannot be had ({reason}); choose another, or 0"
                ) from None
            ports.append(taken.getsockname()[1])
        return ports
