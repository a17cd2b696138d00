"""The server of `make up` is killed: what it knew of who holds a slot must outlive it."""

from __future__ import annotations

from infra.deploy.setup import DEVICE_LIMIT
from tests.support.deployed import Deployed
from tests.support.killing import kill


def test_a_slot_whose_holder_is_gone_becomes_free_though_the_server_was_killed_meanwhile(
    deployed: Deployed,
) -> None:
    limit = f"v2/concurrency_limits/{DEVICE_LIMIT}"
    deployed.wait_until(lambda: deployed.ask(limit)["active_slots"] == 0, "a free slot")
    wanted = {"names": [DEVICE_LIMIT], "slots": 1, "mode": "concurrency", "lease_duration": 60}
    deployed.ask("v2/concurrency_limits/increment-with-lease", wanted)
    assert deployed.ask(limit)["active_slots"] == 1
    kill(deployed.server.processes, "server")
    list(deployed.server.up())
    deployed.wait_until(lambda: deployed.ask(limit)["active_slots"] == 0, "the end of the lease")
