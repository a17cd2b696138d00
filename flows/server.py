"""The Prefect server that a command works with: the one that is configured, else one of its own."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from infra.jobs.guard import ended_with_this_process


class ServerUnavailable(Exception):
    """No Prefect server could be started, or reached; the message says what to do."""


@contextmanager
def prefect_server() -> Iterator[None]:
    """Run flows in this block; a server that Prefect starts for them asks for a key and ends with us.

    Raises ServerUnavailable where it does not start, or where the one that is configured does not answer us.
    """
    from prefect.settings import (
        PREFECT_API_AUTH_STRING,
        PREFECT_API_URL,
        PREFECT_HOME,
        PREFECT_SERVER_API_AUTH_STRING,
        temporary_settings,
    )

    if PREFECT_API_URL.value() is not None:
        _reach()
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


def _reach() -> None:
    """Ask the configured server for its version; ServerUnavailable where that fails or does not suit ours."""
    import httpx
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        # Without the name and key that may stand in it.
        url = client.api_url.copy_with(userinfo=b"")
        try:
            client.raise_for_api_version_mismatch()
        except httpx.HTTPStatusError:
            raise ServerUnavailable(
                f"the Prefect server at {url} does not take the key: set "
                "PREFECT_API_AUTH_STRING (or PREFECT_API_KEY) to its own"
            ) from None
        except RuntimeError as error:
            if "Failed to reach" not in str(error):
                raise ServerUnavailable(" ".join(str(error).split())) from None
            raise ServerUnavailable(
                f"the Prefect server at {url} does not answer: start it, or set PREFECT_API_URL to "
                "one that is up; without PREFECT_API_URL a run starts a server of its own"
            ) from None


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
