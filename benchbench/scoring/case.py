"""Reads the two label maps of a case, refuses what cannot be compared, and counts and measures the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchbench.errors import DataError
from benchbench.images.arrays import Mask
from benchbench.images.label_maps import LabelMap, read_label_map
from benchbench.metrics.lesions import RULES, brats23_lesion
from benchbench.metrics.scores import count, measure_regions
from benchbench.scoring.rules import Scoring

_APART_MM = 1e-3
_SHOWN = 6


def score_case(name: str, reference: Path, prediction: Path | None, how: Scoring) -> list[dict[str, Any]]:
    """A row for each region: counts, and the distances that are asked for.

    Without a prediction every voxel counts as wrong and every distance is the penalty.

    Raises:
        DataError: with every fault of the case.
    """
    truth = read_label_map(reference)
    guess = None if prediction is None else read_label_map(prediction)
    problems = list(_value_faults(f"{name}: {reference}", truth, how))
    if guess is not None:
        problems += [*_value_faults(f"{name}: {prediction}", guess, how), *_grid_faults(name, truth, guess)]
    if how.lesions is not None and truth.voxels.ndim != 3:
        problems.append(
            f"{name}: found {truth.voxels.ndim} axes, expected 3 to score lesions; leave --lesions out"
        )
    if problems:
        raise DataError(*problems)
    named = {"case": name, "patient": name}
    return [
        {**named, "region": region, **_measure(truth, guess, values, how)}
        for region, values in how.regions.items()
    ]


def _measure(truth: LabelMap, guess: LabelMap | None, values: Sequence[int], how: Scoring) -> dict[str, Any]:
    reference = np.isin(truth.voxels, values)
    predicted = np.zeros_like(reference) if guess is None else np.isin(guess.voxels, values)
    counts = count(reference, ~reference if guess is None else predicted)
    row: dict[str, Any] = counts._asdict()
    # a missing prediction of an empty reference must not pass for a perfect one
    far = np.ones_like(reference) if guess is None else reference
    row |= _distances(far, predicted, how.metrics, truth.spacing_mm)
    if how.lesions is not None:
        found = brats23_lesion(reference, predicted, rules=RULES[how.lesions])
        row |= {f"brats23_{key}": value for key, value in found.columns().items()}
    return row


def _distances(
    reference: Mask, predicted: Mask, metrics: Sequence[str], spacing_mm: tuple[float, ...] | None
) -> dict[str, float]:
    if reference.ndim == 2:
        reference, predicted = reference[None], predicted[None]
    (line,) = measure_regions(reference.view(np.uint8), predicted[:, None], metrics=metrics, spacing_mm=spacing_mm)
    return line


def _value_faults(where: str, labels: LabelMap, how: Scoring) -> Iterator[str]:
    if odd := sorted(set(np.unique(labels.voxels).tolist()) - set(how.known)):
        shown = ", ".join(map(str, odd[:_SHOWN])) + (" and others" if len(odd) > _SHOWN else "")
        known = ", ".join(map(str, how.known))
        yield f"{where}: found label {shown}, expected {known}; name it in --labels, or in --background"


def _grid_faults(name: str, truth: LabelMap, guess: LabelMap) -> Iterator[str]:
    found, wanted = guess.voxels.shape, truth.voxels.shape
    if found != wanted:
        todo = (
            "transpose its axes" if sorted(found) == sorted(wanted) else "resample it to the grid of the reference"
        )
        yield f"{name}: found a prediction of shape {found}, expected {wanted}; {todo}"
    elif truth.affine is not None and guess.affine is not None:
        apart = float(np.abs(truth.affine - guess.affine).max())
        if apart > _APART_MM:
            yield (
                f"{name}: found a prediction that lies elsewhere (affines differ by {apart:.4g}), expected the"
                " grid of the reference; resample it, or mend its header if that is wrong"
            )
