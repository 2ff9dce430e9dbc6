"""Size, voxel size and type of the first cases of a dataset, which made-up cases of a rehearsal have too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchbench.contract import Case, DatasetPlugin
from benchbench.data.case_checks import load_case
from benchbench.data.folder import open_dataset
from benchbench.errors import DataError
from benchbench.registry.parameters import keyword_parameters, resolve_params
from benchbench.words import count

_SHAPE, _SPACING, _DTYPE = "phantom_shape", "phantom_spacing_mm", "phantom_dtype"
_MOST_CASES = 3


class PhantomFacts(NamedTuple):
    """Parameters of a phantom, and a line that says where they are from."""

    params: Mapping[str, Any]
    line: str


def phantom_facts(
    plugin: DatasetPlugin, params: Mapping[str, Any], *, data_root: Path | None
) -> PhantomFacts | None:
    """Return the facts of the first cases in the data root; None if the plugin has a phantom of its own.

    Those that `params` has are kept. Without files the line says what the phantom has instead.
    """
    if plugin.phantom is None or _SHAPE not in keyword_parameters(plugin.phantom):
        return None
    reason = "no files"
    if data_root is not None and (data_root / plugin.name).is_dir():
        try:
            cases = _first_cases(plugin, params, data_root)
        except DataError as error:
            reason = error.problems[0]
        else:
            measured = measure(cases)
            return PhantomFacts(measured, f"{_begin(plugin, {**measured, **params})}, as in {_of(len(cases))}")
    return PhantomFacts({}, f"{_begin(plugin, params)}, not measured: {reason}")


def measure(cases: Sequence[Case]) -> dict[str, Any]:
    """Return the median size and voxel size of cases, and the type of the first; unknown ones are left out."""
    first = cases[0]
    alike = [case for case in cases if case.image.ndim == first.image.ndim]
    sizes = np.median([case.image.shape[1:] for case in alike], axis=0)
    facts: dict[str, Any] = {_SHAPE: [round(size) for size in sizes.tolist()], _DTYPE: first.image.dtype.name}
    spacings = [case.spacing_mm for case in alike if case.spacing_mm is not None]
    if spacings:
        facts[_SPACING] = [float(f"{spacing:.6g}") for spacing in np.median(spacings, axis=0).tolist()]
    return facts


def _first_cases(plugin: DatasetPlugin, params: Mapping[str, Any], data_root: Path) -> list[Case]:
    dataset = open_dataset(plugin, resolve_params(plugin.open, params), data_root=data_root)
    return [load_case(dataset, ref.id) for ref in dataset.cases()[:_MOST_CASES]]


def _begin(plugin: DatasetPlugin, params: Mapping[str, Any]) -> str:
    """Return "NAME: made-up cases of 64 x 64 x 20 voxels, 1 x 1 x 3 mm, int16"."""
    shape = " x ".join(map(str, params.get(_SHAPE) or ()))
    spacing = " x ".join(f"{value:g}" for value in params.get(_SPACING) or ())
    size = f"{shape} voxels, scaled to `size` of [rehearse.data]" if shape else "`size` voxels of [rehearse.data]"
    parts = [size, f"{spacing} mm" * bool(spacing), params.get(_DTYPE) or "uint8"]
    return f"{plugin.name}: made-up cases of {', '.join(filter(None, parts))}"


def _of(number: int) -> str:
    return f"the first {count(number, 'case')}"
