"""Benchmarks of medical image segmentation whose numbers can be believed.

This module is the vocabulary that plugins import; importing it costs no torch.
"""

from benchbench.contract import (
    Archive,
    Case,
    CaseRef,
    Dataset,
    DatasetPlugin,
    Download,
    Geometry,
    ModelPlugin,
    OwnLoss,
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
    "DataError",
    "DataNotFoundError",
    "Dataset",
    "DatasetPlugin",
    "Download",
    "Geometry",
    "IncompatibleError",
    "ModelPlugin",
    "OwnLoss",
    "Published",
    "Task",
    "hookimpl",
]
