"""In the process of a job, where Ray is installed: reach a cluster, and leave nothing behind on its nodes."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

from infra.jobs.errors import DeviceSetupError
from infra.jobs.reap import give_back, shared_memory_of
from infra.ray.address import RAY_VARIABLE

_ANSWER_SECONDS = 120.0
_START_SECONDS = 600.0
_LOOK_EVERY_SECONDS = 1.0


def check_reachable(address: str) -> None:
    """DeviceSetupError if no Ray cluster answers there; `ray.init` would try forever."""
    # `ray status` does not know the protocol of a client's address ("ray://…").
    if address.startswith("ray://"):
        return
    command = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False)
        said = (asked.stdout + asked.stderr).strip().splitlines()
    except subprocess.TimeoutExpired:
        raise DeviceSetupError(
            f"${RAY_VARIABLE}: {address} gave no answer in {_ANSWER_SECONDS:g} s"
        ) from None
    if asked.returncode:
        raise DeviceSetupError(f"${RAY_VARIABLE}: {address}: {said[-1][:400] if said else 'no answer'}")


def give_back_on_all_nodes(job_id: str) -> None:
    """Remove the names of the job's shared memory; its processes keep the memory until they end."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    if not ray.is_initialized():
        return

    @ray.remote(num_cpus=0)
    def give_back_here() -> None:
        give_back(shared_memory_of(job_id))

    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    asked = [
        give_back_here.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote()
        for node in nodes
    ]
    ray.wait(asked, num_returns=len(asked), timeout=_ANSWER_SECONDS)


def wait_longer_for_ray() -> None:
    """Let `ray.init` wait up to ten minutes for its node.

    Ray allows half a minute, which is too short on the shared cores of a laptop or of CI.
    """
    from ray._private import services

    asked_once = services.get_node

    def get_node(*arguments: Any, **named: Any) -> Any:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                return asked_once(*arguments, **named)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_LOOK_EVERY_SECONDS)

    services.get_node = get_node
