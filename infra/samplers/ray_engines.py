"""Engines on all nodes of a Ray cluster, which draw from one queue. Runs where vLLM and Ray are installed.

Ray places them: on GPUs one for each group of `tensor_parallel`, as many as a node has; without GPUs the
`replicas`, spread over the nodes. A node that dies gives back what its engines had not drawn.
"""

from __future__ import annotations

import itertools
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.jobs.channel import Channel
from infra.jobs.errors import DeviceCrash, DeviceSetupError
from infra.jobs.reap import JOB_VARIABLE
from infra.models.check import ModelDirectoryError, check_model_directory
from infra.ray.joined import check_reachable, give_back_on_all_nodes, wait_longer_for_ray
from infra.samplers.engine_loop import EngineLoop, capacity, requests
from infra.samplers.shared_queue import Asked, Drawn, SharedQueue

_CALL_SECONDS = 0.25
"""How long a call works on when nothing is finished, and so until new sequences can begin."""
_WORD_EVERY_SECONDS = 10.0
_ENDING_SECONDS = 20.0
_UNBOUNDED = sys.maxsize
"""The queue that counts is the one here."""


class Engine:
    """An engine's process on a node; it does one thing at a time."""

    def start(self, options: Mapping[str, Any]) -> int:
        """How many sequences it holds at most, once it can draw."""
        check_model_directory(Path(options["model"]))
        self._loop = EngineLoop(options)
        self._loop.rest()
        return capacity(self._loop.sequences)

    def work(self, asked: Sequence[Asked]) -> list[Drawn]:
        """Begin sequences, and go on with all until one is finished or a moment has passed."""
        finished: list[Drawn] = list(self._loop.add(asked))
        ends = time.monotonic() + _CALL_SECONDS
        while self._loop.has_work and not finished and time.monotonic() < ends:
            finished += self._loop.step()
        self._loop.rest()
        return finished

    def end(self) -> None:
        """Free what it shares with its workers."""
        self._loop.close()


def places(nodes: Sequence[Mapping[str, Any]], spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The node of each engine; DeviceSetupError where the cluster holds none."""
    alive = [node for node in nodes if node["Alive"]]
    if spec["on_cpu"]:
        return list(itertools.islice(itertools.cycle(alive), max(1, spec["replicas"])))
    size = spec["tensor_parallel"]
    held = [(node, int(node["Resources"].get("GPU", 0)) // size) for node in alive]
    # In turns over the nodes: what others want of each is left on all of them.
    rounds = range(max((count for _, count in held), default=0))
    found = [node for turn in rounds for node, count in held if turn < count]
    if len(found) < (spec["replicas"] or 1):
        raise DeviceSetupError(
            f"sampler: {spec['replicas'] or 1} replicas of {size} GPUs on one node each, but the Ray cluster "
            f"at {spec['address']} holds {len(found)}"
        )
    return found[: spec["replicas"] or None]


def serve(spec: Mapping[str, Any], channel: Channel) -> dict[str, Any]:
    """Draw on all nodes whatever the parent asks, until it ends the job or no engine is left."""
    import ray

    check_reachable(spec["address"])
    if spec["on_cpu"]:
        wait_longer_for_ray()
    job_id = os.environ[JOB_VARIABLE]
    variables = {**spec["variables"], JOB_VARIABLE: job_id, "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    ray.init(
        address=spec["address"],
        runtime_env={"env_vars": variables, "py_modules": spec["packages"]},
        log_to_driver=True,
    )
    try:
        _Engines(spec, channel).serve()
    finally:
        give_back_on_all_nodes(job_id)
        ray.shutdown()
    return {}


class _Engines:
    """The engines of all nodes, each followed by a thread."""

    def __init__(self, spec: Mapping[str, Any], channel: Channel) -> None:
        self._spec = spec
        self._channel = channel
        self._queue = SharedQueue()
        self._ended: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        self._lock = threading.Lock()

    def serve(self) -> None:
        """Until the parent ends the job; raises what the last engine died of."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        found = places(ray.nodes(), self._spec)
        self._left = len(found)
        options = dict(self._spec["options"])
        if self._spec["tensor_parallel"] > 1:
            # Its workers are processes beside it, on the GPUs that Ray gave it.
            options["distributed_executor_backend"] = "mp"
        actors = []
        for number, node in enumerate(found):
            name = f"engine {number + 1} on {node['NodeManagerAddress']}"
            actor = (
                ray.remote(Engine)
                .options(
                    num_cpus=0,
                    num_gpus=0 if self._spec["on_cpu"] else self._spec["tensor_parallel"],
                    scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
                )
                .remote()
            )
            actors.append(actor)
            threading.Thread(target=self._follow, args=(name, actor, options), daemon=True).start()
        threading.Thread(target=self._receive, daemon=True).start()
        if (error := self._ended.get()) is not None:
            raise error
        ray.wait([actor.end.remote() for actor in actors], num_returns=len(actors), timeout=_ENDING_SECONDS)

    def _receive(self) -> None:
        """Take in what the parent asks."""
        for asked in requests(self._channel):
            # The samples of a prompt come one after the other.
            samples = itertools.groupby(asked, key=lambda one: one["index"])
            self._queue.pass_on([list(group) for _, group in samples], self._tell)
        self._ended.put(None)

    def _tell(self, asked: Asked, drawn: Drawn) -> None:
        self._channel.say("drawn", finished=[{**drawn, "number": asked["number"]}])

    def _follow(self, name: str, actor: Any, options: Mapping[str, Any]) -> None:
        """Have one engine draw for as long as it lives."""
        import ray

        try:
            sequences = ray.get(actor.start.remote(options))
            inbox: queue.SimpleQueue[Sequence[Asked]] = queue.SimpleQueue()
            self._queue.join(name, sequences, inbox.put)
            # The first one's is heard: the parent begins, and the others join when they can.
            self._channel.say("ready", sequences=_UNBOUNDED, engines=self._left)
            calls: deque[Any] = deque()
            said = time.monotonic()
            while True:
                # Wait for work only where there is none.
                asked = [] if self._queue.holds(name) else list(inbox.get())
                while not inbox.empty():
                    asked += inbox.get()
                calls.append(actor.work.remote(asked))
                if len(calls) == 1:
                    # One call ahead: the engine works while this process hears what the one before came to.
                    calls.append(actor.work.remote([]))
                finished = ray.get(calls.popleft(), timeout=self._spec["timeout_seconds"])
                self._queue.finished(name, finished)
                if time.monotonic() - said > _WORD_EVERY_SECONDS:
                    said = time.monotonic()
                    self._channel.say("drawn", finished=[])
        except Exception as error:
            self._lose(name, actor, getattr(error, "cause", None) or error)

    def _lose(self, name: str, actor: Any, error: Exception) -> None:
        """Go on without an engine; end with the last one, and with one that cannot start as configured."""
        import ray

        if isinstance(error, DeviceSetupError | ModelDirectoryError):
            self._ended.put(
                DeviceSetupError(f"{name}: {error}; $RZERO_CACHE must be a folder that all nodes see")
            )
            return
        ray.kill(actor)
        with self._lock:
            self._left -= 1
        self._queue.lose(name)
        why = " ".join(f"{type(error).__name__}: {error}".split())[:600]
        print(f"{name} is lost, {self._left} left: {why}", flush=True)
        if not self._left:
            self._ended.put(DeviceCrash(why))
