"""Label values: whole numbers from 0 to 65535, whatever type a file stores them in."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchbench.images.arrays import Mask
from benchbench.images.input_files import FileFault

LARGEST_LABEL = 65535
_TOLERANCE = 1e-4
"""Distance from a whole number up to which a value is rounded."""
_MOST_VALUES = 4
"""Number of values that a message lists with their counts."""


def as_labels(voxels: NDArray[Any], *, scaling: float = 1.0) -> NDArray[Any]:
    """Return the values in the smallest unsigned type; values up to 1e-4 off a whole number are rounded.

    `scaling` is the slope with which the file stores them, if it is not 1.

    Raises:
        FileFault: a value is no number, is fractional, negative or above 65535.
    """
    if voxels.dtype.kind not in "buif" or not voxels.size:
        expected = f"labels from 0 to {LARGEST_LABEL}"
        raise FileFault(f"found {voxels.dtype} {voxels.shape}", expected, "write the mask again")
    values = voxels
    if voxels.dtype.kind == "f":
        values = _rounded(voxels, scaling=scaling)
    largest = values.max()
    if values.min() < 0 or largest > LARGEST_LABEL:
        outside = values[(values < 0) | (values > LARGEST_LABEL)]
        finding = f"found labels out of range, {count_values(outside)}"
        raise FileFault(finding, f"0 to {LARGEST_LABEL}", "write the mask again")
    return values.astype(np.min_scalar_type(int(largest)))


def check_finite(voxels: NDArray[Any]) -> None:
    """Raise FileFault if a voxel is nan or infinite."""
    if voxels.dtype.kind != "f":
        return
    non_finite = voxels.size - int(np.isfinite(voxels).sum())
    if non_finite:
        nan = int(np.isnan(voxels).sum())
        finding = f"found {nan} voxels that are nan and {non_finite - nan} that are infinite"
        raise FileFault(finding, "numbers", "write the file again without them")


def distinct_values(voxels: NDArray[Any]) -> set[int]:
    """Return the values of a label map; only voxels that differ from the one before are sorted."""
    line = voxels.ravel("K")
    is_new = line[1:] != line[:-1]
    return {*line[:1].tolist(), *np.unique(line[1:][is_new]).tolist()}


def has_value(voxels: NDArray[Any], values: Collection[int]) -> Mask:
    """Return True where a label map has one of some values; sooner than NumPy's isin for the few of a region."""
    mask = np.zeros_like(voxels, dtype=np.bool_)
    for value in values:
        mask |= voxels == value
    return mask


def count_values(voxels: NDArray[Any]) -> str:
    """Return the four commonest values with their counts, in words."""
    values, counts = np.unique(voxels, return_counts=True)
    commonest = np.argsort(-counts, kind="stable")[:_MOST_VALUES]
    parts: list[str] = []
    for place in commonest:
        unit = "voxel" if counts[place] == 1 else "voxels"
        parts.append(f"{values[place]:g} ({counts[place]} {unit})")
    text = ", ".join(parts)
    others = len(values) - len(parts)
    return f"{text} and {others} other values" if others > 0 else text


def _rounded(voxels: NDArray[Any], *, scaling: float) -> NDArray[Any]:
    check_finite(voxels)
    values: NDArray[Any] = np.rint(voxels)
    distances = np.abs(values - voxels)
    is_fractional = distances > _TOLERANCE
    if is_fractional.any():
        finding = f"found fractional labels, {count_values(voxels[is_fractional])}"
        raise FileFault(finding, "whole numbers", _remedy(voxels, is_fractional, distances, scaling=scaling))
    return values


def _remedy(voxels: NDArray[Any], is_fractional: Mask, distances: NDArray[Any], *, scaling: float) -> str:
    """Return what to do about fractional values, which depends on where they come from."""
    is_scaled = scaling != 1
    if is_scaled and distances.max() <= abs(scaling) / 2 < 0.5:
        return (
            f"scl_slope {scaling:.4g} in the header has rounded them: round the values and save them as integers"
            " without scaling"
        )
    if is_scaled:
        return (
            f"scl_slope {scaling:.4g} in the header scales them: set it to 1 if the stored values are the labels"
        )
    fractional = voxels[is_fractional]
    if fractional.min() > 0 and voxels.max() <= 1:
        return "apply a threshold to probabilities and save the labels"
    return "resample masks with nearest neighbours and save labels, not probabilities"
