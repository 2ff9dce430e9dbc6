"""Records and files under `results/`: everything that is written there, and how it is read back.

The package can be called: `benchbench.results(folder)` returns the tables of a benchmark.
"""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any


class _ResultsPackage(ModuleType):
    """This package as a function of the Python door, which has its name."""

    def __call__(self, folder: str | Path) -> Any:
        """Return the `BenchmarkResults` of a folder, as `benchbench.api.finished.open_results` does."""
        return import_module("benchbench.api.finished").open_results(folder)


sys.modules[__name__].__class__ = _ResultsPackage
