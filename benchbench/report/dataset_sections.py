"""Sizes, intensities and regions of the cases of a dataset, as rows of tables and as values to draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from benchbench.contract import Task
from benchbench.engine.preparation.description import CaseDescription

_AXES = {3: ("slice", "row", "column"), 2: ("row", "column")}
_QUANTILES = ("smallest", "median", "largest")


class Quantity(NamedTuple):
    """A quantity with a value for each case that has it."""

    name: str
    values: Sequence[float]
    decimals: int | None
    """Decimals of every value; None for four significant digits."""
    n_cases: int
    """Number of all cases, also of those without a value."""

    def quantiles(self) -> tuple[float, ...]:
        """Return the smallest, the median and the largest value; nothing where no case has one."""
        if not self.values:
            return ()
        return min(self.values), float(np.median(self.values)), max(self.values)

    def text(self, value: float) -> str:
        """Return a value with thousands separated by commas."""
        return number_text(value, self.decimals)


class DatasetSection(NamedTuple):
    """A table of a dataset, and the quantities to draw below it."""

    title: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    quantities: Sequence[Quantity]


def dataset_sections(cases: Sequence[CaseDescription], task: Task) -> list[DatasetSection]:
    """Return the sections on sizes, intensities and regions."""
    return [_sizes(cases), _intensities(cases, task), _regions(cases, task)]


def number_text(value: float, decimals: int | None) -> str:
    """Return a number with thousands separated by commas, never as a power of ten.

    Without `decimals` it has four significant digits, and all digits before the point.
    """
    if decimals is None:
        magnitude = int(np.floor(np.log10(abs(value)))) if value else 0
        decimals = max(0, 3 - magnitude)
        text = f"{value:,.{decimals}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:,.{decimals}f}"


def _sizes(cases: Sequence[CaseDescription]) -> DatasetSection:
    quantities = [*_of_axes(cases)]
    shares = [float(np.prod(item.nonzero_shape)) / item.n_voxels for item in cases]
    quantities.append(Quantity("share in the box of nonzero voxels", shares, 3, len(cases)))
    rows = [_row(quantity) for quantity in quantities]
    return DatasetSection("Sizes", "Voxels and their size", ("quantity", *_QUANTILES), rows, quantities)


def _of_axes(cases: Sequence[CaseDescription]) -> Iterator[Quantity]:
    """Yield the numbers of slices, rows and columns, and their distances where they are known."""
    for n_axes, names in _AXES.items():
        group = [item for item in cases if len(item.shape) == n_axes]
        shapes = [item.shape for item in group]
        spacings = [item.spacing_mm for item in group if item.spacing_mm is not None]
        yield from _by_axis(shapes, [f"{name}s" for name in names], 0, len(cases))
        yield from _by_axis(spacings, [f"{name} spacing (mm)" for name in names], 3, len(cases))


def _by_axis(
    values: Sequence[Sequence[float]], names: Sequence[str], decimals: int, n_cases: int
) -> Iterator[Quantity]:
    """Yield a quantity for each axis; none where no case has values."""
    for axis_values, name in zip(zip(*values, strict=True), names, strict=False):
        yield Quantity(name, axis_values, decimals, n_cases)


def _intensities(cases: Sequence[CaseDescription], task: Task) -> DatasetSection:
    rows, quantities = [], []
    for position, channel in enumerate(task.channels):
        values = [item.channels[position] for item in cases]
        low, high, mean, sd = np.median(values, axis=0).tolist()
        rows.append([channel, *(number_text(value, None) for value in (low, mean, sd, high))])
        means = [statistics.mean for statistics in values]
        quantities.append(Quantity(f"mean of {channel}", means, None, len(cases)))
    columns = ("channel", "0.5 %", "mean", "SD", "99.5 %")
    return DatasetSection("Intensities", "Intensities, medians over cases", columns, rows, quantities)


def _regions(cases: Sequence[CaseDescription], task: Task) -> DatasetSection:
    """Return the number of cases with each region, and its size where it is present."""
    in_ml = all(item.voxel_ml is not None for item in cases)
    unit, decimals = ("ml", 3) if in_ml else ("voxels", 0)
    rows, quantities = [], []
    for position, region in enumerate(task.regions):
        sizes: list[float] = []
        for item in cases:
            voxels = item.region_voxels[position]
            if voxels:
                sizes.append(voxels * (item.voxel_ml or 1.0) if in_ml else voxels)
        quantity = Quantity(f"{region} ({unit})", sizes, decimals, len(cases))
        rows.append([region, f"{len(sizes)} of {len(cases)}", *_row(quantity)[1:]])
        quantities.append(quantity)
    columns = ("region", "cases", *_QUANTILES)
    return DatasetSection("Regions", f"Sizes of regions, in {unit}", columns, rows, quantities)


def _row(quantity: Quantity) -> list[str]:
    values = [quantity.text(value) for value in quantity.quantiles()]
    return [quantity.name, *(values or ["-"] * len(_QUANTILES))]
