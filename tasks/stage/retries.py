"""Which errors are retried: those that may pass by themselves, and lack of memory, with smaller batches."""

from __future__ import annotations

import contextlib
import errno
import functools
from collections.abc import Callable, Iterator
from typing import Any

from infra.machine.memory import batches_shrank, free_memory, is_out_of_memory
from infra.samplers import release_sampler
from tasks.stage.batches import Batches, read_batches, write_batches
from tasks.stage.errors import StageError
from tasks.stage.work import Work

HALVINGS = 3
"""How often batches are halved within one attempt."""

_MAY_PASS = frozenset(
    (
        errno.EAGAIN,
        errno.EBUSY,
        errno.EHOSTUNREACH,
        errno.EINTR,
        errno.EIO,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ESTALE,
    )
)


class StageTimeout(StageError):
    """A stage that exceeded its time limit in every attempt."""


def is_transient(error: BaseException | None) -> bool:
    """Whether an error may pass by itself.

    That is so for a store or network that does not answer, a time limit, or a device whose memory another
    program fills; not for a bad configuration, a full disk or a missing file.
    """
    retryable = getattr(error, "retryable", None)
    if retryable is not None:
        return bool(retryable)
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return isinstance(error, OSError) and error.errno in _MAY_PASS


def with_smaller_batches(body: Callable[..., None]) -> Callable[..., None]:
    """Make a stage's body start again with batches of half the size when memory runs out.

    Micro-batches and sampling batches only affect the order of additions, so the artifact keeps its key and
    its recorded configuration; the figure `batch_halvings` records what happened. A training resumes from its
    newest checkpoint. What fitted is where this run begins the next time it does the same kind of work.
    """

    @functools.wraps(body)
    def attempt(work: Work, *arguments: Any, **inputs: Any) -> None:
        if not _has_batches(work):
            body(work, *arguments, **inputs)
            return
        sizes = _Sizes(work)
        for halvings in range(HALVINGS + 1):
            try:
                with sizes.followed():
                    body(work, *arguments, **inputs)
                sizes.keep()
                return
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or halvings == HALVINGS:
                    raise
                told = str(error).splitlines()[0] if str(error) else type(error).__name__
            # Outside the except block the traceback is gone, and with it what held the memory.
            release_sampler()
            free_memory()
            work.log.warning(f"{work.stage.name}: {told}; again with batches of half the size")
            sizes.halve()

    return attempt


class _Sizes:
    """The sizes of a stage's batches: those that fitted before, and smaller ones as memory runs out."""

    def __init__(self, work: Work) -> None:
        self._work, self._configured = work, work.whole_config
        self._kept = self._now = read_batches(work.store, work.location.run, work.stage)
        if self._now != Batches():
            self._begin()
            work.log.info(f"{work.stage.name}: begins with the smaller batches that fitted before")

    @contextlib.contextmanager
    def followed(self) -> Iterator[None]:
        """Keep what fits from a training's first step on, and learn of a sampler's own smaller batches."""
        self._work.batches_fit = self.keep
        token = batches_shrank.set(self._shrank)
        try:
            yield
        finally:
            batches_shrank.reset(token)

    def keep(self) -> None:
        """These fitted."""
        if self._now != self._kept:
            self._kept = self._now
            write_batches(self._work.store, self._work.location.run, self._work.stage, self._now)

    def halve(self) -> None:
        """Begin again with half of each."""
        self._now = self._now.model_copy(update={"halvings": self._now.halvings + 1})
        self._begin()

    def _shrank(self, batch_tokens: int) -> None:
        self._now = self._now.model_copy(update={"batch_tokens": batch_tokens})

    def _begin(self) -> None:
        halvings = self._now.halvings
        figures = {"batch_halvings": halvings} if halvings else {}
        self._work.begin_again(self._now.of(self._configured), figures)


def _has_batches(work: Work) -> bool:
    """Whether the stage works in batches of a size that is ours to choose; vLLM chooses its own."""
    own = "batch_tokens" in type(work.whole_config.sampler).model_fields
    return "trainer" in work.stage.reads or (own and "sampler" in work.stage.reads)
