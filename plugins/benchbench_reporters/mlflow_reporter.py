"""MLflow: a run of each training, with its settings as parameters and its values as metrics.

MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME choose the server, or a folder, and the experiment.

Source: MLflow, https://mlflow.org
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from benchbench import ReporterPlugin, hookimpl

_MOST_LETTERS = 500  # of a parameter


class MlflowReporter:
    """A run of MLflow; it uses a client, because the fluent interface has one active run for a process."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client = client
        self._run_id = run_id

    def epoch(self, number: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run_id, name, value, step=number)

    def end(self, status: str, scores: Mapping[str, float]) -> None:
        for name, value in scores.items():
            self._client.log_metric(self._run_id, f"test_{name.replace('@', '_at_')}", value)
        self._client.set_terminated(self._run_id, "FINISHED" if status == "done" else "FAILED")


def open_run(run: str, settings: Mapping[str, Any]) -> MlflowReporter:
    """Return a new run of the experiment that the environment names."""
    from mlflow.tracking import MlflowClient  # noqa: PLC0415 an extra

    client = MlflowClient()
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "benchbench")
    experiment = client.get_experiment_by_name(name)
    number = experiment.experiment_id if experiment else client.create_experiment(name)
    created = client.create_run(number, run_name=run)
    for key, value in _flat("", settings):
        client.log_param(created.info.run_id, key, str(value)[:_MOST_LETTERS])
    return MlflowReporter(client, created.info.run_id)


def _flat(prefix: str, settings: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return dotted key and value of each setting."""
    pairs: list[tuple[str, Any]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            pairs += _flat(f"{prefix}{key}.", value)
        else:
            pairs.append((f"{prefix}{key}", value))
    return pairs


@hookimpl
def benchbench_reporters() -> list[ReporterPlugin]:
    return [
        ReporterPlugin(
            name="mlflow", open=open_run, source="https://mlflow.org", needs=("mlflow",), extra="mlflow"
        )
    ]
