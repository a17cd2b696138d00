"""Batches that come over HTTP are scored by the stage, and by nobody without the key."""

from __future__ import annotations

import json
import queue
import threading
from pathlib import Path
from typing import Any

import httpx

from infra.jobs.process import Message
from infra.trainers.verl.scoring import scoring_service


def test_a_batch_waits_for_its_scores_and_a_failure_is_heard(tmp_path: Path) -> None:
    messages: queue.Queue[Message] = queue.Queue()
    answers: list[Any] = []
    with scoring_service(messages, tmp_path / "address.json"):
        address = json.loads((tmp_path / "address.json").read_text())
        key = {"Authorization": f"Bearer {address['key']}"}

        def ask() -> None:
            body = {"batch": "step-1", "samples": [1, 2]}
            answers.append(httpx.post(f"{address['url']}/score", json=body, headers=key, timeout=60).json())

        asking = threading.Thread(target=ask)
        asking.start()
        message = messages.get(timeout=60)
        assert (message.kind, message.values["samples"]) == ("score", [1, 2])
        message.values["scores"].set_result([0.5, 0.25])
        asking.join()
        assert answers == [{"scores": [0.5, 0.25]}]
        httpx.post(f"{address['url']}/failed", json={"message": "an engine died"}, headers=key)
        assert messages.get(timeout=60) == Message("rollouts_failed", {"message": "an engine died"})
        assert httpx.post(f"{address['url']}/score", json={}).status_code == 401
    assert messages.empty()
    assert (tmp_path / "address.json").stat().st_mode & 0o077 == 0
