"""The Prefect server that a command works with: the one that is configured, else one of its own."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from infra.jobs.guard import ended_with_this_process


class ServerUnavailable(Exception):
    """No Prefect server could be started; the message says what to do."""


@contextmanager
def prefect_server() -> Iterator[None]:
    """Run flows in this block; a server that Prefect starts for them asks for a key and ends with us.

    Raises ServerUnavailable where it does not start.
    """
    from prefect.settings import (
        PREFECT_API_AUTH_STRING,
        PREFECT_API_URL,
        PREFECT_HOME,
        PREFECT_SERVER_API_AUTH_STRING,
        temporary_settings,
    )

    if PREFECT_API_URL.value() is not None:
        yield
        return
    key = f"rzero:{secrets.token_urlsafe(32)}"
    keys = {PREFECT_API_AUTH_STRING: key, PREFECT_SERVER_API_AUTH_STRING: key}
    try:
        with ended_with_this_process(), temporary_settings(keys):
            _start()
            yield
    except RuntimeError as error:
        if "ephemeral Prefect API server" not in str(error):
            raise
        raise ServerUnavailable(
            f"Prefect's own server does not start. Perhaps a newer Prefect has used its database in "
            f"{PREFECT_HOME.value()}: move prefect.db away, or set PREFECT_HOME to another folder, or "
            "PREFECT_API_URL to a server that is up"
        ) from error


def _start() -> None:
    """Have Prefect start its server now, deaf to interrupts.

    A terminal sends them to all that runs in it: without its server the interrupted run could not say how it
    has ended, and would go on trying for minutes.
    """
    from prefect.client.orchestration import get_client

    # What a process blocks stays blocked in those that it starts.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with get_client(sync_client=True):
            pass
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
