"""TensorBoard: event files in `<folder>/tensorboard/<run id>`."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from infra.trackers.protocol import Row, TrackedRun, Tracker

if TYPE_CHECKING:
    from data.backends import TensorboardConfig


class TensorboardTracker(Tracker):
    """Each process writes a file of its own; TensorBoard reads them as one run."""

    def __init__(self, config: TensorboardConfig, run: TrackedRun) -> None:
        folder = str(run.folder / "tensorboard" / run.id)
        self._known = EventAccumulator(folder, size_guidance={"scalars": 0})
        self._writer: EventFileWriter = EventFileWriter(folder)
        self._known.Reload()
        if "config/text_summary" not in self._known.Tags()["tensors"]:
            self._add([_text("config", f"```json\n{json.dumps(run.config, indent=1)}\n```")], 0)

    def last_step(self, series: str) -> int | None:
        tag = f"{series}/step"
        if tag not in self._known.Tags()["scalars"]:
            return None
        return max(int(event.step) for event in self._known.Scalars(tag))

    def log(self, row: Row) -> None:
        numbers = [Summary.Value(tag=name, simple_value=value) for name, value in row.named().items()]
        self._add(numbers + [_text(f"artifacts/{name}", uri) for name, uri in row.links.items()], row.step)

    def flush(self) -> None:
        self._writer.flush()

    def close(self, finished: bool) -> None:
        self._writer.close()

    def _add(self, values: list[Summary.Value], step: int) -> None:
        # One event is one record of the file: it is there whole or not at all.
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))


def _text(tag: str, text: str) -> Summary.Value:
    """A text as TensorBoard's tab of that name shows it."""
    metadata = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
    tensor = TensorProto(dtype="DT_STRING", string_val=[text.encode()])
    return Summary.Value(tag=f"{tag}/text_summary", metadata=metadata, tensor=tensor)


open_backend = TensorboardTracker
