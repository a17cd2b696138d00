"""What was measured of a preset, kept in the store under `calibrations/`."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from data.section import Section
from infra.plan.measure import Measured
from infra.plan.timeline import Rates
from infra.store.store import Store

_SAME_SIZE = 0.1
"""80 GB are 74.5 GiB, of which the driver shows a little less."""


class Calibration(Section):
    """Where and with what it was measured, and the figures."""

    preset: str
    base_model: str
    gpus: int
    """0: the machine's CPU."""
    memory_gib: float
    """Of each GPU."""
    sampler: dict[str, Any]
    trainer: dict[str, Any]
    finished_at: str
    figures: Measured

    def is_of(self, memory_gib: float) -> bool:
        """Whether it was measured on GPUs of this size."""
        return self.gpus > 0 and abs(self.memory_gib - memory_gib) <= _SAME_SIZE * memory_gib

    def rates(self, billion_parameters: float) -> Rates:
        """What it says of one GPU and a model of 4B parameters."""
        share = billion_parameters / 4.0 / max(1, self.gpus)
        figures = self.figures
        return Rates(
            memory_gib=self.memory_gib,
            decode_tokens_per_second=share * max(each.tokens_per_second for each in figures.decoding),
            train_tokens_per_second=share * figures.train_tokens_per_second,
            engine_start_seconds=figures.engine_start_seconds,
            trainer_start_seconds=figures.trainer_start_seconds,
            upload_mebibytes_per_second=figures.upload_mebibytes_per_second,
            source=f"measured with {self.preset} on {self.gpus} GPUs, {self.finished_at}",
        )


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
