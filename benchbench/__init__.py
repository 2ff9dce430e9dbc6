"""Reproducible benchmarks of medical image segmentation.

This module exports the names that plugins import; it does not import torch.
"""

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
    ModelPlugin,
    Published,
    Task,
    hookimpl,
)
from benchbench.errors import (
    BenchbenchError,
    DataError,
    DataNotFoundError,
    IncompatibleError,
)

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
    "ModelPlugin",
    "Published",
    "Task",
    "hookimpl",
]
