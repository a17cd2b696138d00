"""vLLM servers that a stage starts: one for each replica, on loopback, with a key, ended with the stage."""

from __future__ import annotations

import contextlib
import os
import queue
import runpy
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.jobs.channel import Channel
from infra.jobs.errors import DeviceSetupError
from infra.jobs.process import DeviceJob, JobGroup, interpreter
from infra.samplers.engine import engine_environment, engine_gpus, engine_options

if TYPE_CHECKING:
    from data.backends import ServerSamplerConfig

_HOST = "127.0.0.1"
_LOOK_EVERY_SECONDS = 0.5
# Not `vllm serve`: in the CPU build it looks for a distribution of another name.
_MODULE = "vllm.entrypoints.openai.api_server"


class OwnServers(JobGroup):
    """The servers that were started here, if any."""

    def start(self, config: ServerSamplerConfig, model_dir: Path, key: str) -> list[str]:
        """Start them and wait until they are healthy; their endpoints."""
        options = engine_options(config, model_dir)
        layout = engine_gpus(config)
        python = interpreter()
        ports = _ports(config.port, len(layout))
        with self.ended_on_error():
            for gpus, port in zip(layout, ports, strict=True):
                spec = {"options": options, "host": _HOST, "port": port, "served_model": "rzero"}
                environment = engine_environment(config, gpus) | {"VLLM_API_KEY": key}
                name = f"vllm server :{port}"
                self.append(DeviceJob(name, "infra.samplers.servers:serve", spec, python, environment))
            deadline = time.monotonic() + config.start_timeout_seconds
            for job, port in zip(self, ports, strict=True):
                _wait_until_healthy(job, port, deadline, config.start_timeout_seconds)
        return [f"http://{_HOST}:{port}/v1" for port in ports]

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


def _ports(first: int, count: int) -> list[int]:
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


def serve(spec: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """The process of a server, where vLLM is installed: serve until the parent closes the job.

    The key comes in $VLLM_API_KEY, not in the arguments.
    """
    import vllm  # noqa: F401  # if it is missing, say so; runpy would wrap the error

    def end_when_closed() -> None:
        for _ in channel.requests():
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_when_closed, daemon=True).start()
    sys.argv = [_MODULE, *_arguments(spec)]
    runpy.run_module(_MODULE, run_name="__main__")
    return {}


def _arguments(spec: Mapping[str, Any]) -> list[str]:
    """The command line of the server."""
    arguments = ["--host", spec["host"], "--port", str(spec["port"])]
    arguments += ["--served-model-name", spec["served_model"], "--disable-uvicorn-access-log"]
    for name, value in spec["options"].items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            arguments.append(flag)
        elif value is not False:
            arguments += [flag, str(value)]
    return arguments
