"""Which errors are retried: those that may pass by themselves, and lack of memory, with smaller batches."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable
from typing import Any

from data.config import RunConfig
from infra.machine.memory import free_memory, is_out_of_memory
from infra.samplers import release_sampler
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
    newest checkpoint.
    """

    @functools.wraps(body)
    def attempt(work: Work, *arguments: Any, **inputs: Any) -> None:
        for halvings in range(HALVINGS + 1):
            try:
                body(work, *arguments, **inputs)
                return
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or halvings == HALVINGS or not _has_batches(work):
                    raise
                told = str(error).splitlines()[0] if str(error) else type(error).__name__
            # Outside the except block the traceback is gone, and with it what held the memory.
            release_sampler()
            free_memory()
            smaller = halved(work.whole_config)
            work.log.warning(f"{work.stage.name}: {told}; again with batches of half the size")
            work.begin_again(smaller, {"batch_halvings": halvings + 1})

    return attempt


def _has_batches(work: Work) -> bool:
    """Whether the stage works in batches of a size that is ours to choose; vLLM chooses its own."""
    return "trainer" in work.stage.reads or "batch_tokens" in type(work.whole_config.sampler).model_fields


def halved(config: RunConfig) -> RunConfig:
    """The configuration with batches of half the size, where they affect nothing but rounding."""

    def half(section: Any, setting: str) -> Any:
        if setting not in type(section).model_fields:
            return section
        return section.model_copy(update={setting: max(1, getattr(section, setting) // 2)})

    return config.model_copy(
        update={
            "challenger": half(config.challenger, "micro_batch_size"),
            "solver": half(config.solver, "micro_batch_size"),
            "sampler": half(config.sampler, "batch_tokens"),
        }
    )
