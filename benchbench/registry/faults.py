"""Names the plugin in whatever it raises: an exception of a plugin is no reason for a traceback."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchbench.contract import DatasetPlugin, Task
from benchbench.errors import BenchbenchError, PluginError


@contextlib.contextmanager
def plugin_faults(plugin: str, place: str, error_type: type[BenchbenchError]) -> Iterator[None]:
    """Turn what a plugin raises within the block, SystemExit included, into one line with its name and the place.

    Errors that benchbench defines pass as they are: a plugin raises them on purpose.

    Raises:
        BenchbenchError: of the given type.
    """
    try:
        yield
    except (BenchbenchError, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        message = " ".join(str(error).split())
        problem = f"{plugin}: its plugin failed in {place} ({type(error).__name__}: {message})"
        raise error_type(f"{problem}; correct the plugin or report it to its author") from error


def task_of(plugin: DatasetPlugin, params: Mapping[str, Any]) -> Task:
    """Return the task of a dataset; opening it reads no voxels and, before `cases`, no folder.

    Raises:
        PluginError: the plugin failed.
    """
    with plugin_faults(plugin.name, "open() or task", PluginError):
        return plugin.open(Path(plugin.name), **params).task
