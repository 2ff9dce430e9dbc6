"""Voxel sizes and orientations of the images that a model was trained on, and lines about images that differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from nibabel.orientations import aff2axcodes

from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.spec.protocol import Protocol

SPACING_FACTOR = 1.5
"""A voxel size is far from those of the training images if it is this many times larger or smaller than all."""
_OPPOSITE = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}


def image_facts(cases: Sequence[PreparedCase]) -> dict[str, Any]:
    """Return the voxel sizes and orientations of cases, in the axes of their frames.

    `least_mm` and `most_mm` are the extremes along each axis, None where no size is known; `orientations` are the
    directions in which the axes run, such as SPL for a stack of axial slices, "" where it is unknown.
    """
    spacings = [prepared.spacing_mm for prepared in cases if prepared.spacing_mm is not None]
    orientations = {orientation_of(prepared) for prepared in cases}
    least = np.min(spacings, axis=0).tolist() if spacings else None
    most = np.max(spacings, axis=0).tolist() if spacings else None
    return {"least_mm": least, "most_mm": most, "orientations": sorted(orientations)}


def merged_facts(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the facts of several training sets as those of one; {} if one of them is unknown."""
    if not all(facts):
        return {}
    least = [part["least_mm"] for part in facts if part["least_mm"]]
    most = [part["most_mm"] for part in facts if part["most_mm"]]
    orientations: set[str] = set()
    for part in facts:
        orientations.update(part["orientations"])
    return {
        "least_mm": np.min(least, axis=0).tolist() if least else None,
        "most_mm": np.max(most, axis=0).tolist() if most else None,
        "orientations": sorted(orientations),
    }


def orientation_of(prepared: PreparedCase) -> str:
    """Return the directions in which the axes of the frame run, such as SPL; "" where the affine is unknown."""
    if prepared.affine is None or prepared.affine.shape != (4, 4):
        return ""
    stored = aff2axcodes(prepared.affine)
    letters = []
    for axis, is_flipped in zip(prepared.frame.axes, prepared.frame.flipped, strict=True):
        letters.append(_OPPOSITE[stored[axis]] if is_flipped else stored[axis])
    return "".join(letters)


def difference_remarks(prepared: PreparedCase, facts: Mapping[str, Any], protocol: Protocol) -> Iterator[str]:
    """Yield a line for each way in which an image differs from the training images; none where these are unknown.

    In 2D the axes of a slice are compared; in 3D every image is turned to the same orientation where it is known.
    """
    if not facts:
        return
    first = 1 if protocol.ndim == 2 else 0
    yield from _spacing_remarks(prepared.spacing_mm, facts, first=first)
    yield from _orientation_remarks(orientation_of(prepared), facts["orientations"], first=first)


def _spacing_remarks(spacing_mm: Sequence[float] | None, facts: Mapping[str, Any], *, first: int) -> Iterator[str]:
    if facts["least_mm"] is None:
        return
    least, most = facts["least_mm"][first:], facts["most_mm"][first:]
    trained = _range_text(least, most)
    if spacing_mm is None:
        yield f"found no voxel size, and the training images have {trained} mm; the sizes are not compared"
        return
    sizes = spacing_mm[first:]
    low = np.array(least) / SPACING_FACTOR
    high = np.array(most) * SPACING_FACTOR
    if (sizes < low).any() or (sizes > high).any():
        stored = " x ".join(f"{size:.3g}" for size in sizes)
        yield (
            f"found voxels of {stored} mm, far from the {trained} mm of the training images (more than"
            f" {SPACING_FACTOR} times); resample the image if the prediction is wrong"
        )


def _range_text(least: Sequence[float], most: Sequence[float]) -> str:
    """Return the sizes along each axis, such as 1 x 0.7 to 1.2."""
    parts = []
    for low, high in zip(least, most, strict=True):
        is_one_size = f"{low:.3g}" == f"{high:.3g}"
        parts.append(f"{low:.3g}" if is_one_size else f"{low:.3g} to {high:.3g}")
    return " x ".join(parts)


def _orientation_remarks(orientation: str, trained: Sequence[str], *, first: int) -> Iterator[str]:
    known = sorted({letters[first:] for letters in trained if letters})
    if not known or (not orientation and "" in trained):
        return
    if not orientation:
        yield (
            f"found no orientation, and the axes of the training images run to {_directions(known)}; the axes are"
            " used as stored"
        )
    elif orientation[first:] not in known:
        yield (
            f"found axes that run to {_directions([orientation[first:]])}, expected {_directions(known)} as in the"
            " training images; turn the image"
        )


def _directions(orientations: Sequence[str]) -> str:
    return " or ".join(", ".join(letters) for letters in orientations)
