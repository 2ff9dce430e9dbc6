"""Distances between the surfaces of two masks, in mm, or in pixels where spacing is unknown.

hd               largest distance from either surface to the other              Hausdorff 1914
hd95             larger of the two directed 95th percentiles, linear            Metrics Reloaded, MONAI
hd95_pooled      95th percentile of both directions together, linear            MedPy
hd95_surfel      larger of the two, each a percentile of area                   DeepMind, BraTS 2023
assd             mean of both directions together                               MONAI (symmetric), MedPy
masd             mean of the two directed means                                 Metrics Reloaded
nsd@t            share of both surfaces' area no further than t from the other  Nikolov 2021, MSD
nsd_voxel@t      share of both surfaces' voxels no further than t               MONAI, Metrics Reloaded

`hd95_surfel` and `nsd` measure elements of area between voxels, the others the voxels of the surface itself;
see `surfaces`.

Source: Maier-Hein et al. 2024, doi:10.1038/s41592-023-02151-z; Nikolov et al. 2021, doi:10.2196/26151.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from benchbench.images.arrays import Floats, Mask, bounding_box
from benchbench.metrics.surfaces import Surface, element_surface, voxel_surface
from benchbench.spec.metric_names import MetricName

_PERCENTILE = 95
_ROUNDING = 1e-9  # 3 voxels of 0.1 mm are within 0.3 mm


def measure(
    reference: Mask,
    prediction: Mask,
    metrics: Mapping[str, MetricName],
    *,
    spacing_mm: Sequence[float] | None,
    penalty: float | None = None,
) -> dict[str, float]:
    """Each of these distances, by the name it was asked for; never nan.

    Two empty masks are alike: 0, and 1 for nsd. If one is empty, a distance is the penalty (the length of the
    grid's diagonal unless another is given) and nsd is 0. Without spacing a voxel measures 1 along each axis.

    Raises:
        ValueError: the masks have neither two nor three axes, or the spacing does not fit them.
    """
    spacing = _checked(spacing_mm, reference)
    if not (reference.any() and prediction.any()):
        return _of_empty(
            metrics, reference, prediction, _diagonal(reference, spacing) if penalty is None else penalty
        )
    box = bounding_box(reference | prediction)
    pair = _Pair(np.ascontiguousarray(reference[box]), np.ascontiguousarray(prediction[box]), spacing)
    return {name: pair.measure(metric) for name, metric in metrics.items()}


class _Directed:
    """Distances from each place of both surfaces to the nearest of the other, found when they are asked for."""

    def __init__(self, surfaces: tuple[Surface, Surface], spacing: tuple[float, ...]) -> None:
        self.surfaces = surfaces
        self._spacing = spacing

    @cached_property
    def exact(self) -> tuple[Floats, Floats]:
        """(from the reference to the prediction, and back)."""
        return self._find(np.inf)

    def within(self, tolerance: float) -> float:
        """The share of both surfaces that lies no further than this from the other."""
        reach = tolerance * (1 + _ROUNDING)
        pairs = zip(self.exact if "exact" in vars(self) else self._find(reach), self.surfaces, strict=True)
        near = sum(float(surface.weights[found <= reach].sum()) for found, surface in pairs)
        return near / sum(float(surface.weights.sum()) for surface in self.surfaces)

    def _find(self, reach: float) -> tuple[Floats, Floats]:
        reference, prediction = (surface.grid for surface in self.surfaces)
        return self._nearest(reference, prediction, reach), self._nearest(prediction, reference, reach)

    def _nearest(self, places: Mask, others: Mask, reach: float) -> Floats:
        """Infinite beyond `reach`. Places that are in both need no search."""
        is_apart = ~others[places]
        found = np.zeros(len(is_apart))
        if is_apart.any():
            # splitting at the middle is quicker to build than balancing, and no slower to search
            tree = KDTree(self._points(others), balanced_tree=False, compact_nodes=False)
            bound = np.nextafter(reach, np.inf)
            found[is_apart] = tree.query(self._points(places & ~others), distance_upper_bound=bound)[0]
        return found

    def _points(self, grid: Mask) -> Floats:
        """(N, axes) in the order of the grid's true entries."""
        places = np.unravel_index(np.flatnonzero(grid), grid.shape)
        return np.stack([at * size for at, size in zip(places, self._spacing, strict=True)], axis=1)


class _Pair:
    """Two masks, neither empty, cut to the box around both."""

    def __init__(self, reference: Mask, prediction: Mask, spacing: tuple[float, ...]) -> None:
        self._reference, self._prediction = reference, prediction
        self._spacing = spacing

    def measure(self, metric: MetricName) -> float:
        match metric:
            case MetricName("nsd_voxel", float(tolerance)):
                return self._voxels.within(tolerance)
            case MetricName("nsd", float(tolerance)):
                return self._elements.within(tolerance)
            case MetricName("hd95_surfel"):
                pairs = zip(self._elements.exact, self._elements.surfaces, strict=True)
                return max(_percentile_of_area(found, surface.weights) for found, surface in pairs)
        there, back = self._voxels.exact
        return _of_distances(metric.kind, there, back)

    @cached_property
    def _voxels(self) -> _Directed:
        surfaces = voxel_surface(self._reference), voxel_surface(self._prediction)
        return _Directed(surfaces, self._spacing)

    @cached_property
    def _elements(self) -> _Directed:
        reference, prediction = self._reference, self._prediction
        surfaces = element_surface(reference, self._spacing), element_surface(prediction, self._spacing)
        return _Directed(surfaces, self._spacing)


def _of_distances(kind: str, there: Floats, back: Floats) -> float:
    match kind:
        case "hd":
            return float(max(there.max(), back.max()))
        case "hd95":
            return float(max(np.percentile(there, _PERCENTILE), np.percentile(back, _PERCENTILE)))
        case "hd95_pooled":
            return float(np.percentile(np.concatenate([there, back]), _PERCENTILE))
        case "assd":
            return float(np.concatenate([there, back]).mean())
        case "masd":
            return float((there.mean() + back.mean()) / 2)
    raise AssertionError(f"{kind} is no distance")


def _percentile_of_area(found: Floats, areas: Floats) -> float:
    """The least distance that 95 % of the area does not exceed."""
    order = np.argsort(found)
    share = np.cumsum(areas[order]) / areas.sum()
    at = np.searchsorted(share, _PERCENTILE / 100)
    return float(found[order][min(int(at), len(order) - 1)])


def _of_empty(
    metrics: Mapping[str, MetricName], reference: Mask, prediction: Mask, penalty: float
) -> dict[str, float]:
    are_alike = bool(reference.any() == prediction.any())
    worst = {True: (0.0, 1.0), False: (penalty, 0.0)}[are_alike]
    return {name: worst[metric.tolerance is not None] for name, metric in metrics.items()}


def _checked(spacing_mm: Sequence[float] | None, mask: NDArray[Any]) -> tuple[float, ...]:
    if mask.ndim not in {2, 3}:
        raise ValueError(f"masks have {mask.ndim} axes, expected 2 or 3")
    spacing = (1.0,) * mask.ndim if spacing_mm is None else tuple(float(size) for size in spacing_mm)
    if len(spacing) != mask.ndim or not all(0 < size < np.inf for size in spacing):
        raise ValueError(
            f"spacing {spacing}, expected {mask.ndim} positive numbers, one for each axis of the masks"
        )
    return spacing


def _diagonal(mask: Mask, spacing: tuple[float, ...]) -> float:
    return float(np.linalg.norm(np.multiply(mask.shape, spacing)))
