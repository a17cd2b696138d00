"""Where processes listen for TCP connections, from /proc."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_LISTENS = "0A"
_PROC = Path("/proc")


class Listener(NamedTuple):
    """A listening socket of a process."""

    pid: int
    host: str
    port: int

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        address = ipaddress.ip_address(self.host)
        mapped = getattr(address, "ipv4_mapped", None)
        return (mapped or address).is_loopback


def listeners(pids: Iterable[int]) -> list[Listener]:
    """All listening sockets of these processes."""
    places = {}
    for table in ("tcp", "tcp6"):
        for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == _LISTENS:
                number, _, port = columns[1].partition(":")
                # Words of four bytes in the machine's order.
                words = [bytes.fromhex(number[i : i + 8])[::-1] for i in range(0, len(number), 8)]
                places[f"socket:[{columns[9]}]"] = str(ipaddress.ip_address(b"".join(words))), int(port, 16)
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in (_PROC / str(pid) / "fd").iterdir():
                with contextlib.suppress(OSError, KeyError):
                    found.append(Listener(pid, *places[os.readlink(entry)]))
    return found
