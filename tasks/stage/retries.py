"""What is tried again, and how: what can pass by itself, and a smaller batch where memory ran out."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable
from typing import Any

from data.config import RunConfig
from infra.machine.memory import free_memory, is_out_of_memory
from infra.samplers.shared import release_sampler
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
    """A stage that took longer than its limit each time."""


def can_pass(error: BaseException | None) -> bool:
    """Whether an error can pass by itself: a store or a network that does not answer, a time limit, a
    device whose memory another program fills. Not: bad configuration, a full disk, a missing file."""
    retryable = getattr(error, "retryable", None)
    if retryable is not None:
        return bool(retryable)
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    return isinstance(error, OSError) and error.errno in _MAY_PASS


def with_smaller_batches(body: Callable[..., None]) -> Callable[..., None]:
    """A stage's body that begins again with batches of half the size where memory runs out.

    Micro-batches and sampling batches decide no more than the order of additions, so the artifact keeps
    its key and its recorded configuration; the figure `batch_halvings` says that it happened. A training
    goes on from its newest checkpoint.
    """

    @functools.wraps(body)
    def attempt(work: Work, *arguments: Any, **inputs: Any) -> None:
        for halvings in range(HALVINGS + 1):
            try:
                body(work, *arguments, **inputs)
                return
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error) or halvings == HALVINGS:
                    raise
                told = str(error).splitlines()[0] if str(error) else type(error).__name__
            # Out here the traceback is gone, and with it what held the memory.
            release_sampler()
            free_memory()
            smaller = halved(work.whole_config)
            work.log.warning(f"{work.stage.name}: {told}; again with batches of half the size")
            work.begin_again(smaller, {"batch_halvings": halvings + 1})

    return attempt


def halved(config: RunConfig) -> RunConfig:
    """The configuration with batches of half the size, wherever they decide nothing but rounding."""

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
