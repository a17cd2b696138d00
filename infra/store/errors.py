"""What can go wrong with a store, and how it is retried."""

from __future__ import annotations

import os

PATIENCE = "RZERO_STORE_PATIENCE_SECONDS"
_DEFAULT_PATIENCE_SECONDS = 60.0


class StoreError(Exception):
    """The store cannot do what was asked; the message says where and why, in one line."""


class StoreUnavailable(StoreError):
    """The store did not answer in time. It may later, so what failed is worth another try."""

    retryable = True


class DigestMismatch(StoreError):
    """A file does not have the sha256 that was promised."""


def patience_seconds() -> float:
    """How long one request is retried: `$RZERO_STORE_PATIENCE_SECONDS`, by default a minute."""
    given = os.environ.get(PATIENCE, "")
    try:
        return max(0.0, float(given)) if given else _DEFAULT_PATIENCE_SECONDS
    except ValueError:
        raise StoreError(f"{PATIENCE} is {given!r}, not a number of seconds") from None
