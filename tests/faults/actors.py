"""Processes as threads that run only when a schedule lets them, and a store whose requests wait for it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from infra.artifacts.artifact import ArtifactRef
from infra.store.store import Store


class Killed(BaseException):
    """The end of a writer's process."""


@dataclass
class Actor:
    """A thread that runs only when the schedule lets it."""

    name: str
    work: Callable[[Actor], None]
    clock: list[float]
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    told: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    request: Callable[[], Any] | None = None
    about: str = ""
    frozen: int = 0
    is_asking: bool = False
    is_killed: bool = False
    is_over: bool = False
    error: BaseException | None = None
    writes: int = 0
    """How many of its requests may have changed the store."""
    results: list[ArtifactRef] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self.go.acquire()
        try:
            if not self.is_killed:
                self.work(self)
        except Killed:
            pass
        except BaseException as error:
            self.error = error
        self.is_over = True
        self.told.release()

    def ask(self, request: Callable[[], Any], about: str = "") -> Any:
        """Called by the actor's own thread before each request: wait until the schedule lets it go on.

        `about` is the name that the request is about.
        """
        if threading.current_thread() is not self.thread:
            return request()
        if self.is_killed:
            # After its death a process asks nothing any more.
            raise Killed
        if self.is_asking:
            return request()
        self.request, self.about = request, about
        self.told.release()
        self.go.acquire()
        self.request = None
        if self.is_killed:
            raise Killed
        self.is_asking = True
        try:
            return request()
        finally:
            self.is_asking = False

    def step(self) -> None:
        """Let the actor go on to its next request, or to its end."""
        self.go.release()
        self.told.acquire()

    def kill(self) -> Callable[[], Any] | None:
        """End it where it is; the request that it was about to send."""
        request, self.is_killed = self.request, True
        if not self.is_over:
            self.step()
        return request


DECIDES = re.compile(r"^create .*(claim|_manifest|_damage|parts/part-\d+)\.json$|^move ")
"""The requests by which a writer decides something."""
_READS = ("size", "read", "download", "names", "sizes")
_WRITES = ("put", "put_file", "create", "remove")


class SteppedStore(Store):
    """A store whose every request waits for the schedule."""

    def __init__(self, uri: str, actor: Actor) -> None:
        super().__init__(uri)
        backend: Any = self._backend
        if hasattr(backend, "_try"):
            # In a bucket an operation is several requests, and each may come late by itself.
            ask, backend._fs = backend._try, _CountedFileSystem(backend._fs, actor)
            backend._try = lambda request, full: actor.ask(partial(ask, request, full), f"create {full}")
            return
        for name in (*_READS, *_WRITES):
            self._wrap(actor, backend, name)
        if self.is_local:
            self._wrap(actor, backend, "move")
        else:
            backend.move = partial(_move_in_steps, backend)

    @staticmethod
    def _wrap(actor: Actor, backend: Any, name: str) -> None:
        plain = getattr(backend, name)
        setattr(
            backend,
            name,
            lambda *given: actor.ask(
                partial(_counted, actor, name not in _READS, partial(plain, *given)), f"{name} {given[0]}"
            ),
        )


class _CountedFileSystem:
    """The file system of a bucket, which counts the requests that may change it."""

    def __init__(self, fs: Any, actor: Actor) -> None:
        self._fs, self._actor = fs, actor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._fs, name)

    def call_s3(self, method: str, **options: Any) -> Any:
        writes = not method.startswith(("get", "head", "list"))
        return _counted(self._actor, writes, partial(self._fs.call_s3, method, **options))

    def cp_file(self, *given: Any, **options: Any) -> Any:
        return _counted(self._actor, True, partial(self._fs.cp_file, *given, **options))


def _counted(actor: Actor, writes: bool, request: Callable[[], Any]) -> Any:
    try:
        return request()
    finally:
        actor.writes += writes


def _move_in_steps(backend: Any, source: str, target: str) -> bool:
    """As a bucket does it: look, copy, remove."""
    content = backend.read(source)
    if content is None:
        return False
    backend.put(target, content)
    backend.remove(source)
    return True
