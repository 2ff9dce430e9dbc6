"""Weights & Biases: a run of each training, with its settings as configuration and its values as a history.

WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE and the other variables of the library choose where it goes.

Source: Weights & Biases, https://docs.wandb.ai
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from benchbench import ReporterPlugin, hookimpl


class WandbReporter:
    """A run of Weights & Biases."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        self._run.log({"epoch": number, **values})

    def end(self, status: str, scores: Mapping[str, float]) -> None:
        for name, value in scores.items():
            self._run.summary[f"test_{name}"] = value
        self._run.summary["status"] = status
        self._run.finish(exit_code=0 if status == "done" else 1)


def open_run(run: str, settings: Mapping[str, Any]) -> WandbReporter:
    """Return a new run of the project that the environment names."""
    import wandb  # noqa: PLC0415 an extra

    project = os.environ.get("WANDB_PROJECT", "benchbench")
    return WandbReporter(wandb.init(project=project, name=run, config=dict(settings), reinit="create_new"))


@hookimpl
def benchbench_reporters() -> list[ReporterPlugin]:
    return [
        ReporterPlugin(name="wandb", open=open_run, source="https://wandb.ai", needs=("wandb",), extra="wandb")
    ]
