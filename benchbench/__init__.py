"""Reproducible benchmarks of medical image segmentation.

This module exports the names that plugins import, and the functions of the Python door: `load`, `results`, `score`
and `predictor`. These are imported when they are first used, so that this module imports neither torch nor pandas.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from benchbench.contract import (
    Archive,
    Case,
    CaseRef,
    CustomLoss,
    Dataset,
    DatasetPlugin,
    Download,
    Geometry,
    ImageReader,
    LossPlugin,
    MetricPlugin,
    ModelPlugin,
    OptimizerPlugin,
    Published,
    ReporterPlugin,
    SchedulePlugin,
    Task,
    TrainingTime,
    TransformPlugin,
    hookimpl,
)
from benchbench.errors import (
    BenchbenchError,
    DataError,
    DataNotFoundError,
    IncompatibleError,
    UsageError,
)
from benchbench.launchers import LauncherPlugin, WorkOrder

if TYPE_CHECKING:
    from benchbench.api.finished import open_results as results
    from benchbench.api.loaded import load
    from benchbench.api.predictors import predictor
    from benchbench.api.score_arrays import score

_DOORS = {
    "load": ("benchbench.api.loaded", "load"),
    "predictor": ("benchbench.api.predictors", "predictor"),
    "results": ("benchbench.api.finished", "open_results"),
    "score": ("benchbench.api.score_arrays", "score"),
}
"""Name -> the module and the function of the Python door."""

__all__ = [
    "Archive",
    "BenchbenchError",
    "Case",
    "CaseRef",
    "CustomLoss",
    "DataError",
    "DataNotFoundError",
    "Dataset",
    "DatasetPlugin",
    "Download",
    "Geometry",
    "ImageReader",
    "IncompatibleError",
    "LauncherPlugin",
    "LossPlugin",
    "MetricPlugin",
    "ModelPlugin",
    "OptimizerPlugin",
    "Published",
    "ReporterPlugin",
    "SchedulePlugin",
    "Task",
    "TrainingTime",
    "TransformPlugin",
    "UsageError",
    "WorkOrder",
    "hookimpl",
    "load",
    "predictor",
    "results",
    "score",
]


def __getattr__(name: str) -> Any:
    """Import a function of the Python door."""
    if name not in _DOORS:
        raise AttributeError(f"module 'benchbench' has no attribute '{name}'")
    module, function = _DOORS[name]
    return getattr(import_module(module), function)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
