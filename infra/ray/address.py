"""The cluster to join, as the process that works is told, and who may reach it. No Ray is needed here."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from data.backends import WHERE_IT_WORKS

RAY_VARIABLE = WHERE_IT_WORKS["ray_address"]
"""Names the Ray cluster to join, 'host:6379' or 'auto'."""
CPU_PATIENCE = {
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_agent_register_timeout_ms": "600000",
    "RAY_gcs_server_port_wait_time_s": "600",
}
"""For cores that are shared with others, where processes start slowly."""


def ray_address() -> str | None:
    """The cluster that the environment names."""
    return os.environ.get(RAY_VARIABLE) or None


def own_cluster() -> dict[str, str]:
    """Variables of a cluster that a job starts: for this machine alone, its key is written nowhere."""
    return {
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_AUTH_MODE": "token",
        # Its node's address is then 127.0.0.1, where Ray, verl and the engines listen.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }


def token_mode() -> dict[str, str]:
    """Once a user has a token, `ray start` asks for it, and whoever joins must be told to show it."""
    if "RAY_AUTH_MODE" in os.environ:
        return {}
    told = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    return {"RAY_AUTH_MODE": "token"} if told or (Path.home() / ".ray" / "auth_token").is_file() else {}
