"""TensorBoard's event file of a run."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchbench.extras import has_extra
from benchbench.records.run_folder import RunFolder

AddEpoch = Callable[[int, Mapping[str, Any]], None]
"""(epoch, its row of the history) -> adds the numbers of the row to the file."""


@contextlib.contextmanager
def open_events(folder: RunFolder) -> Iterator[AddEpoch]:
    """Open a new event file and yield the function that adds an epoch; numbers that are None are left out.

    Without the extra `tensorboard` there is no event file, and the function does nothing.
    """
    if not has_extra("tensorboard"):
        yield _add_nothing
        return
    from tensorboard.compat.proto.event_pb2 import Event  # noqa: PLC0415 half a second, needed by runs only
    from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: PLC0415
    from tensorboard.summary.writer.record_writer import RecordWriter  # noqa: PLC0415

    folder.check_claim()
    # not tensorboard's own file writer, which puts the name of the host into the name of the file
    with (folder.path / f"events.out.tfevents.{time.time_ns()}").open("wb") as file:
        records = RecordWriter(file)
        records.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())

        def add(epoch: int, row: Mapping[str, Any]) -> None:
            summary = Summary()
            for name, value in row.items():
                if name != "epoch" and value is not None:
                    summary.value.add(tag=name, simple_value=value)
            event = Event(wall_time=time.time(), step=epoch, summary=summary)
            records.write(event.SerializeToString())
            records.flush()

        yield add


def _add_nothing(_epoch: int, _row: Mapping[str, Any]) -> None: ...
