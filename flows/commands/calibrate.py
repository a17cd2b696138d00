"""`rzero calibrate`: what this machine does with a preset's model."""

from __future__ import annotations

import click

from flows.commands.options import json_option, preset_option, set_option, store_option
from infra.words import plural

_UNITS = {"tokens_per_second": "tokens/s", "mebibytes_per_second": "MiB/s", "seconds": "s"}


@click.command()
@preset_option
@set_option
@store_option
@json_option
def calibrate(preset: str | None, overrides: tuple[str, ...], store: str | None, as_json: bool) -> None:
    """Measure how fast this machine is with a model.

    It draws, trains two short steps and uploads a file, each as a run of the preset would, and keeps the
    rates in the store for `rzero plan`.
    """
    from datetime import UTC, datetime

    from data.prompts import Prompts
    from data.resolve import resolve
    from data.tiny.settings import TinyModelConfig
    from flows.errors import mendable_ends_the_command
    from flows.live.show import show_json, tell
    from infra.machine.gpus import found_gpus, gpu_memory
    from infra.plan.calibration import Calibration, keep
    from infra.plan.measure import gathered, measure
    from infra.scratch import ScratchFolder
    from infra.store.store import Store
    from tasks.prepare_base_model import bring_model, check_base_model

    config = resolve("calibration", preset or "tiny", overrides, store)
    check_base_model(config.base_model)
    place = Store(config.store)
    place.check_writable()
    memory = gpu_memory(found_gpus())
    figures: dict[str, float] = {}
    with mendable_ends_the_command(), ScratchFolder("calibration") as folder:
        # How well the tiny model answers does not matter, how fast it does is the same.
        bring_model(config, TinyModelConfig(training_steps=1), 0, folder, lambda *_: None)
        for name, value in measure(config, folder, Prompts(config, folder).challenger(), place):
            figures[name] = value
            tell(_line(name, value), err=True)
        calibration = Calibration(
            preset=config.preset,
            base_model=config.base_model.name,
            gpus=len(found_gpus()),
            memory_gib=memory[0] / 2**30 if memory else 0.0,
            sampler=config.sampler.model_dump(mode="json"),
            trainer=config.trainer.model_dump(mode="json"),
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
            figures=gathered(figures),
        )
        uri = keep(place, calibration)
    if as_json:
        show_json(calibration.model_dump(mode="json"))
    else:
        tell(f"kept in {uri}")


def _line(name: str, value: float) -> str:
    """A figure as a person reads it."""
    if name.startswith("decoding."):
        prompts = int(name.partition(".")[2])
        return f"decoding, {plural(prompts, 'prompt')} at once: {value:.0f} tokens/s"
    what, unit = next(
        (name.removesuffix(f"_{ending}"), unit) for ending, unit in _UNITS.items() if name.endswith(ending)
    )
    return f"{what.replace('_', ' ')}: {value:.{0 if value >= 100 else 1}f} {unit}"
