"""Scoring of one case: read its two label maps, check that they match, count voxels and measure distances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchbench.errors import DataError
from benchbench.images.arrays import Mask
from benchbench.images.label_maps import LabelMap, read_label_map
from benchbench.images.label_values import distinct_values, has_value
from benchbench.metrics.lesions import RULES, LesionScores, brats23_lesion
from benchbench.metrics.scores import Counts, count, measure_regions
from benchbench.records.record import Value
from benchbench.scoring.rules import Scoring

Source = Path | LabelMap
"""The file of a label map, or one in memory."""
_TOLERANCE_MM = 1e-3  # between affines of the same grid
_MOST_LABELS = 6  # in a message


@dataclass(frozen=True, kw_only=True)
class RegionMeasures:
    """Everything that is measured of one region of a case."""

    case: str
    region: str
    counts: Counts
    distances: dict[str, float]
    """Column -> distance, in the unit that ends the name of the column."""
    lesions: LesionScores | None
    """None unless lesions are scored."""

    def columns(self) -> dict[str, Value]:
        """Return the row of the table of cases."""
        row: dict[str, Value] = {"case": self.case, "patient": self.case, "region": self.region}
        row |= self.counts._asdict()
        row |= self.distances
        if self.lesions is not None:
            for name, value in self.lesions.columns().items():
                row[f"brats23_{name}"] = value
        return row


def measure_case(
    name: str, reference: Source, prediction: Source | None, scoring: Scoring
) -> list[RegionMeasures]:
    """Return counts and distances of each region.

    Without a prediction every voxel counts as wrong, and every distance is the penalty.

    Raises:
        DataError: with every problem of the case.
    """
    reference_map = _read(reference)
    prediction_map = None if prediction is None else _read(prediction)
    where = f"{name}: {_place(reference, 'reference')}"
    problems = list(_label_problems(where, reference_map, scoring))
    if prediction is not None and prediction_map is not None:
        problems += _label_problems(f"{name}: {_place(prediction, 'prediction')}", prediction_map, scoring)
        problems += _grid_problems(name, reference_map, prediction_map)
    n_axes = reference_map.voxels.ndim
    if scoring.lesions is not None and n_axes != 3:
        problems.append(f"{name}: found {n_axes} axes, expected 3 to score lesions; leave out --lesions")
    scored = ~has_value(reference_map.voxels, scoring.ignore)
    if not scored.any():
        problems.append(f"{where}: found every voxel ignored, so nothing can be scored; remove the case")
    if problems:
        raise DataError(*problems)
    return [_measure(name, region, reference_map, prediction_map, scored, scoring) for region in scoring.regions]


def _read(source: Source) -> LabelMap:
    return read_label_map(source) if isinstance(source, Path) else source


def _place(source: Source, part: str) -> str:
    """Return the path of a file, or the part of a case that a label map in memory is."""
    return str(source) if isinstance(source, Path) else part


def _measure(
    name: str,
    region: str,
    reference_map: LabelMap,
    prediction_map: LabelMap | None,
    scored: Mask,
    scoring: Scoring,
) -> RegionMeasures:
    """Measure a region; voxels that are not `scored` are in neither mask and in no count."""
    values = scoring.regions[region]
    reference = has_value(reference_map.voxels, values)
    if prediction_map is None:
        counts = _count_scored(reference, ~reference, scored)
        prediction = np.zeros_like(reference)
        # with an empty reference, an empty prediction would have perfect distances
        measured_reference = scored
    else:
        prediction = has_value(prediction_map.voxels, values) & scored
        counts = _count_scored(reference, prediction, scored)
        measured_reference = reference
    lesions = None
    if scoring.lesions is not None:
        lesions = brats23_lesion(reference, prediction, rules=RULES[scoring.lesions])
    return RegionMeasures(
        case=name,
        region=region,
        counts=counts,
        distances=_distances(measured_reference, prediction, scoring.metrics, reference_map.spacing_mm),
        lesions=lesions,
    )


def _count_scored(reference: Mask, prediction: Mask, scored: Mask) -> Counts:
    """Return the counts of the voxels that are scored."""
    if scored.all():
        return count(reference, prediction)
    counts = count(reference & scored, prediction & scored)
    ignored = scored.size - np.count_nonzero(scored)
    return counts._replace(tn=int(np.subtract(counts.tn, ignored)))


def _distances(
    reference: Mask, prediction: Mask, metrics: Sequence[str], spacing_mm: tuple[float, ...] | None
) -> dict[str, float]:
    """Return the distances between two masks of (S, H, W) or (H, W), by column."""
    if reference.ndim == 2:
        reference, prediction = reference[None], prediction[None]
    bits = reference.view(np.uint8)
    (distances,) = measure_regions(bits, prediction[:, None], metrics=metrics, spacing_mm=spacing_mm)
    return distances


def _label_problems(where: str, label_map: LabelMap, scoring: Scoring) -> Iterator[str]:
    """Yield a message if the map has labels that belong to no region and no background."""
    labels = distinct_values(label_map.voxels)
    unknown = sorted(labels - set(scoring.known_labels))
    if unknown:
        listed = ", ".join(map(str, unknown[:_MOST_LABELS]))
        if len(unknown) > _MOST_LABELS:
            listed += " and others"
        known = ", ".join(map(str, scoring.known_labels))
        yield f"{where}: found label {listed}, expected {known}; add it to --labels or to --background"


def _grid_problems(name: str, reference: LabelMap, prediction: LabelMap) -> Iterator[str]:
    """Yield a message if the prediction has another shape or another position than the reference."""
    shape, expected = prediction.voxels.shape, reference.voxels.shape
    if shape != expected:
        is_transposed = sorted(shape) == sorted(expected)
        remedy = "transpose its axes" if is_transposed else "resample it to the grid of the reference"
        yield f"{name}: found a prediction of shape {shape}, expected {expected}; {remedy}"
    elif reference.affine is not None and prediction.affine is not None:
        difference = float(np.abs(reference.affine - prediction.affine).max())
        if difference > _TOLERANCE_MM:
            yield (
                f"{name}: found a prediction at another position (affines differ by {difference:.4g}), expected"
                " the grid of the reference; resample it, or correct its header if that is wrong"
            )
