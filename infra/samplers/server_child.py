"""The process of a vLLM API server that a stage starts; runs where vLLM is installed."""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
from collections.abc import Mapping
from typing import Any

from infra.jobs.channel import Channel

# Not `vllm serve`: in the CPU build it looks for a distribution of another name.
_MODULE = "vllm.entrypoints.openai.api_server"


def serve(spec: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """Serve until the parent closes the job. The key comes in $VLLM_API_KEY, not in the arguments."""
    import vllm  # noqa: F401  # its absence is told as such; runpy would wrap the error

    def end_when_closed() -> None:
        for _ in channel.requests():
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end_when_closed, daemon=True).start()
    sys.argv = [_MODULE, *server_arguments(spec)]
    runpy.run_module(_MODULE, run_name="__main__")
    return {}


def server_arguments(spec: Mapping[str, Any]) -> list[str]:
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
