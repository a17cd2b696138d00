"""Where the engines of a Ray cluster are placed, told from what Ray says of its nodes."""

from __future__ import annotations

from typing import Any

import pytest

from infra.jobs.errors import DeviceSetupError
from infra.samplers.ray_engines import places

NODES = [
    {"NodeID": "head", "Alive": True, "Resources": {"CPU": 8.0}},
    {"NodeID": "a", "Alive": True, "Resources": {"CPU": 8.0, "GPU": 4.0}},
    {"NodeID": "gone", "Alive": False, "Resources": {"CPU": 8.0, "GPU": 4.0}},
    {"NodeID": "b", "Alive": True, "Resources": {"CPU": 8.0, "GPU": 3.0}},
]


def _ids(**settings: Any) -> list[str]:
    spec = {"on_cpu": False, "tensor_parallel": 1, "replicas": 0, "address": "head:6379"} | settings
    return [node["NodeID"] for node in places(NODES, spec)]


def test_every_living_node_gets_as_many_engines_as_its_gpus_hold() -> None:
    assert _ids() == ["a", "b", "a", "b", "a", "b", "a"]
    assert _ids(tensor_parallel=2) == ["a", "b", "a"]


def test_fewer_engines_than_there_is_room_for_leave_gpus_on_every_node() -> None:
    assert _ids(replicas=4) == ["a", "b", "a", "b"]
    assert _ids(tensor_parallel=2, replicas=2) == ["a", "b"]


def test_on_cpus_the_replicas_are_spread_over_the_nodes() -> None:
    assert _ids(on_cpu=True) == ["head"]
    assert _ids(on_cpu=True, replicas=4) == ["head", "a", "b", "head"]


@pytest.mark.parametrize("settings", [{"replicas": 8}, {"tensor_parallel": 8}])
def test_more_than_the_cluster_holds_is_one_clear_line(settings: dict[str, int]) -> None:
    with pytest.raises(DeviceSetupError, match="the Ray cluster at head:6379 holds"):
        _ids(**settings)
