"""Trackio: a run of each training in a database on this machine, with its settings and values.

TRACKIO_DIR chooses the folder and TRACKIO_PROJECT the project. Nothing is sent to a Space or a server;
`trackio show` opens the page.

Source: Trackio, https://huggingface.co/docs/trackio
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Mapping
from typing import Any

from benchbench import ReporterPlugin, hookimpl

_REMOTE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL", "TRACKIO_DATASET_ID", "TRACKIO_BUCKET_ID")


class TrackioReporter:
    """A run of Trackio."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=number)

    def end(self, status: str, scores: Mapping[str, float]) -> None:
        final: dict[str, float | str] = {"status": status}
        for name, value in scores.items():
            final[f"test_{name}"] = value
        self._run.log(final)
        with contextlib.redirect_stdout(io.StringIO()):
            self._run.finish()


def open_run(run: str, settings: Mapping[str, Any]) -> TrackioReporter:
    """Return a new run of the project that the environment names.

    Raises:
        ValueError: the environment names a Space or a server.
    """
    for name in _REMOTE:
        if os.environ.get(name):
            raise ValueError(f"{name} is set, and this reporter writes to this machine only; unset it")
    import trackio  # noqa: PLC0415 an extra

    with contextlib.redirect_stdout(io.StringIO()):
        project = os.environ.get("TRACKIO_PROJECT", "benchbench")
        created = trackio.init(
            project, name=run, config=dict(settings), embed=False, auto_log_gpu=False, auto_log_cpu=False
        )
    return TrackioReporter(created)


@hookimpl
def benchbench_reporters() -> list[ReporterPlugin]:
    return [
        ReporterPlugin(
            name="trackio",
            open=open_run,
            source="https://huggingface.co/docs/trackio",
            needs=("trackio",),
            extra="trackio",
        )
    ]
