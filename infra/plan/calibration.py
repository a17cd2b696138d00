"""What was measured of a preset, kept in the store under `calibrations/`."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from data.section import Section
from infra.plan.measure import Measured
from infra.store.store import Store


class Calibration(Section):
    """Where and with what it was measured, and the figures."""

    preset: str
    base_model: str
    gpus: int
    """Devices of the machine; 0: its CPU."""
    sampler: dict[str, Any]
    trainer: dict[str, Any]
    finished_at: str
    figures: Measured


def keep(store: Store, calibration: Calibration) -> str:
    """Write it in place of the preset's last one; its path or URI."""
    path = _path(calibration.preset)
    store.put(path, calibration.model_dump_json(indent=1).encode())
    return store.uri_of(path)


def kept(store: Store, preset: str) -> Calibration | None:
    """What was measured last with this preset; None where nothing was, or what is there cannot be read."""
    content = store.get(_path(preset))
    try:
        return Calibration.model_validate_json(content) if content else None
    except ValidationError:
        return None


def _path(preset: str) -> str:
    return f"calibrations/{preset}.json"
