"""Distances between the surfaces of two masks, in mm, or in pixels if the spacing is unknown.

hd               largest distance from either surface to the other              Hausdorff 1914
hd95             larger of the two directed 95th percentiles, linear            Metrics Reloaded, MONAI
hd95_pooled      95th percentile of both directions together, linear            MedPy
hd95_surfel      larger of the two, each a percentile of area                   DeepMind, BraTS 2023
assd             mean of both directions together                               MONAI (symmetric), MedPy
masd             mean of the two directed means                                 Metrics Reloaded
nsd@t            fraction of both surfaces' area within t of the other surface  Nikolov 2021, MSD
nsd_voxel@t      fraction of both surfaces' voxels within t of the other        MONAI, Metrics Reloaded

`hd95_surfel` and `nsd` measure elements of area between voxels, the others the voxels of the surface itself;
see `surfaces`.

Written here because MONAI returns nan for a missed structure and leaves it out of the mean, and because no library
has all of these definitions; the fastest of them takes four times as long.

Source: Maier-Hein et al. 2024, doi:10.1038/s41592-023-02151-z; Nikolov et al. 2021, doi:10.2196/26151.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from benchbench.images.arrays import Floats, Mask, bounding_box
from benchbench.metrics.nearest import nearest_distances
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
    """Return each distance by its name in `metrics`; never nan.

    Two empty masks have distance 0 and nsd 1. If only one mask is empty, a distance is `penalty`, or without one
    the length of the grid's diagonal, and nsd is 0. Without spacing a voxel measures 1 along each axis.

    Raises:
        ValueError: the masks have neither two nor three axes, or the spacing does not fit them.
    """
    spacing = _checked_spacing(spacing_mm, reference)
    has_reference, has_prediction = bool(reference.any()), bool(prediction.any())
    if not (has_reference or has_prediction):
        return _constant(metrics, distance=0.0, nsd=1.0)
    if not (has_reference and has_prediction):
        if penalty is None:
            penalty = float(np.linalg.norm(np.multiply(reference.shape, spacing)))
        return _constant(metrics, distance=penalty, nsd=0.0)
    box = bounding_box(reference | prediction)
    reference, prediction = np.ascontiguousarray(reference[box]), np.ascontiguousarray(prediction[box])
    pair = _MaskPair(reference, prediction, spacing)
    return {name: pair.measure(metric) for name, metric in metrics.items()}


def _checked_spacing(spacing_mm: Sequence[float] | None, mask: Mask) -> tuple[float, ...]:
    if mask.ndim not in {2, 3}:
        raise ValueError(f"masks have {mask.ndim} axes, expected 2 or 3")
    if spacing_mm is None:
        return (1.0,) * mask.ndim
    spacing = tuple(float(size) for size in spacing_mm)
    if len(spacing) != mask.ndim or not all(0 < size < np.inf for size in spacing):
        raise ValueError(
            f"spacing {spacing}, expected {mask.ndim} positive numbers, one for each axis of the masks"
        )
    return spacing


def _constant(metrics: Mapping[str, MetricName], *, distance: float, nsd: float) -> dict[str, float]:
    values: dict[str, float] = {}
    for name, metric in metrics.items():
        is_distance = metric.tolerance is None
        values[name] = distance if is_distance else nsd
    return values


class _MaskPair:
    """Two masks with voxels, cropped to the box around both; surfaces are computed when they are first needed."""

    def __init__(self, reference: Mask, prediction: Mask, spacing: tuple[float, ...]) -> None:
        self._reference, self._prediction = reference, prediction
        self._spacing = spacing

    def measure(self, metric: MetricName) -> float:
        match metric:
            case MetricName("nsd_voxel", float(tolerance)):
                return self._voxels.fraction_within(tolerance)
            case MetricName("nsd", float(tolerance)):
                return self._elements.fraction_within(tolerance)
            case MetricName("hd95_surfel"):
                return self._elements.largest_area_percentile()
        forward, backward = self._voxels.distances
        return _summarise(metric.kind, forward, backward)

    @cached_property
    def _voxels(self) -> _SurfacePair:
        return _SurfacePair(voxel_surface(self._reference), voxel_surface(self._prediction), self._spacing)

    @cached_property
    def _elements(self) -> _SurfacePair:
        reference = element_surface(self._reference, self._spacing)
        prediction = element_surface(self._prediction, self._spacing)
        return _SurfacePair(reference, prediction, self._spacing)


class _SurfacePair:
    """Two surfaces and the distances from each point of one to the nearest point of the other."""

    def __init__(self, reference: Surface, prediction: Surface, spacing: tuple[float, ...]) -> None:
        self._reference, self._prediction = reference, prediction
        self._spacing = spacing

    @cached_property
    def distances(self) -> tuple[Floats, Floats]:
        """The distances from the reference to the prediction, and from the prediction to the reference."""
        return self._search(np.inf)

    def fraction_within(self, tolerance: float) -> float:
        """Return the fraction of both surfaces that is at most `tolerance` away from the other."""
        reach = tolerance * (1 + _ROUNDING)
        is_computed = "distances" in vars(self)  # then the search need not be repeated
        distances = self.distances if is_computed else self._search(reach)
        near = total = 0.0
        for surface, values in self._with_surfaces(distances):
            near += float(surface.weights[values <= reach].sum())
            total += float(surface.weights.sum())
        return near / total

    def largest_area_percentile(self) -> float:
        """Return the larger of the two directed 95th percentiles of area."""
        pairs = self._with_surfaces(self.distances)
        return max(_area_percentile(values, surface.weights) for surface, values in pairs)

    def _with_surfaces(self, distances: tuple[Floats, Floats]) -> Iterator[tuple[Surface, Floats]]:
        yield from zip((self._reference, self._prediction), distances, strict=True)

    def _search(self, reach: float) -> tuple[Floats, Floats]:
        """Return the distances in both directions; those beyond `reach` may be infinite."""
        reference, prediction = self._reference.grid, self._prediction.grid
        forward = nearest_distances(reference, prediction, self._spacing, reach=reach)
        backward = nearest_distances(prediction, reference, self._spacing, reach=reach)
        return forward, backward


def _summarise(kind: str, forward: Floats, backward: Floats) -> float:
    match kind:
        case "hd":
            return float(max(forward.max(), backward.max()))
        case "hd95":
            percentiles = [np.percentile(distances, _PERCENTILE) for distances in (forward, backward)]
            return float(max(percentiles))
        case "hd95_pooled":
            return float(np.percentile(np.concatenate([forward, backward]), _PERCENTILE))
        case "assd":
            return float(np.concatenate([forward, backward]).mean())
        case "masd":
            return float((forward.mean() + backward.mean()) / 2)
    raise AssertionError(f"{kind} is no distance")


def _area_percentile(distances: Floats, areas: Floats) -> float:
    """Return the smallest distance that 95 % of the area does not exceed."""
    order = np.argsort(distances)
    fraction = np.cumsum(areas[order]) / areas.sum()
    place = int(np.searchsorted(fraction, _PERCENTILE / 100))
    last = len(order) - 1  # rounding can keep the fraction below 95 %
    return float(distances[order[min(place, last)]])
