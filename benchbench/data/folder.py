"""Opens a dataset in its folder below the data root."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchbench.contract import OWN_FILES, Dataset, DatasetPlugin
from benchbench.data.guarded import Guarded
from benchbench.errors import DataError, DataNotFoundError
from benchbench.registry.faults import plugin_faults
from benchbench.registry.parameters import resolve_params


def open_dataset(plugin: DatasetPlugin, params: Mapping[str, Any], *, data_root: Path | None) -> Dataset:
    """Open the dataset in `<data_root>/<name>`.

    Raises:
        DataNotFoundError: there is no data root or no such folder; says where to get the data.
        DataError: the plugin failed.
    """
    if data_root is None:
        raise DataNotFoundError(
            f"no data root given: use --data-root DIR or set BENCHBENCH_DATA; {where_to_get(plugin)}"
        )
    folder = data_root / plugin.name
    if not folder.is_dir():
        raise DataNotFoundError(f"{plugin.name}: no folder {folder}; {where_to_get(plugin)}")
    with plugin_faults(plugin.name, "open()", DataError):
        return Guarded(plugin.name, plugin.open(folder, **params))


def described_params(plugin: DatasetPlugin, *, data_root: Path | None) -> Mapping[str, Any]:
    """Return the parameters that the files of a dataset give; {} without such files.

    Raises:
        DataError: the files that give them cannot be read.
    """
    if plugin.describe is None or data_root is None or not (data_root / plugin.name).is_dir():
        return {}
    with plugin_faults(plugin.name, "describe()", DataError):
        return plugin.describe(data_root / plugin.name)


def open_with_description(plugin: DatasetPlugin, params: Mapping[str, Any], root: Path) -> Dataset:
    """Open the dataset in a folder with these parameters, and with those that its files give."""
    described = plugin.describe(root) if plugin.describe else {}
    dataset: Dataset = plugin.open(root, **resolve_params(plugin.open, {**described, **params}))
    return dataset


def where_to_get(plugin: DatasetPlugin) -> str:
    """Return one sentence on how to get the data, or how to try phantom data instead."""
    if plugin.download is OWN_FILES:
        return (
            f"put the files of '{plugin.name}' there ('benchbench data get FILE' if the benchmark file has their"
            " `url`), or add --rehearse to try phantom data"
        )
    return (
        f"get '{plugin.name}' from {plugin.download.page} ({plugin.download.licence}) with 'benchbench data get"
        f" {plugin.name} --data-root DIR', or add --rehearse to try phantom data"
    )
