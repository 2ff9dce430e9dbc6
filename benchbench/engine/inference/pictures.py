"""Pictures of a case: which planes of it are shown, and what is seen in them.

They are chosen by the truth, never by a prediction, so that every model is shown on the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from benchbench.engine.preparation.placement import Placement
from benchbench.engine.preparation.prepare import PreparedCase
from benchbench.images.arrays import Mask
from benchbench.images.planes import Interval, Plane

Picture = NDArray[np.uint8]
"""(H, W, 3): red, green, blue."""
_NAMES = ("axial", "coronal", "sagittal")
_STORED_UPRIGHT = (False, (False, False))


def planes_through(prepared: PreparedCase, shown: Mask) -> list[Plane]:
    """In 2D the slice where masks (S, K, H, W) are largest, in 3D the three planes through the middle of it.

    Where they are empty, the middle of what was kept of the case.
    """
    if shown.any():
        number = int(shown.sum((1, 2, 3)).argmax())
        middle = np.argwhere(shown[number].any(0)).mean(0)
    else:
        number, *middle = ((start + stop) // 2 for start, stop in prepared.frame.box)
    if prepared.placement:
        return [_slice(prepared, number)]
    return [_volume_plane(prepared, axis, int(at)) for axis, at in enumerate((number, *middle))]


def picture(prepared: PreparedCase, plane: Plane) -> Picture:
    """What a plane shows; black where a slice was cropped."""
    if prepared.placement:
        return _slice_picture(prepared, prepared.placement, plane)
    start, _ = prepared.frame.box[plane.axis]
    return coloured(plane.turn(prepared.image().take(plane.at - start, axis=1 + plane.axis)))


def truth_masks(prepared: PreparedCase, *, regions: int) -> Mask:
    """(S, K, H, W) of the whole case."""
    label = prepared.native_label()
    return np.stack([(label >> number) & 1 > 0 for number in range(regions)], 1)


def coloured(planes: NDArray[Any]) -> Picture:
    """Channels (C, H, W) as 8 bits: three as red, green and blue, of any other number the first in grey."""
    chosen = np.asarray(planes, np.float32)
    chosen = chosen if len(chosen) == 3 else np.repeat(chosen[:1], 3, axis=0)
    low, high = chosen.min(), np.quantile(chosen, 0.999)
    scaled = np.clip((chosen - low) / max(float(high - low), 1e-6), 0, 1) * 255
    return np.ascontiguousarray(scaled.transpose(1, 2, 0)).astype(np.uint8)


def _slice(prepared: PreparedCase, number: int) -> Plane:
    """A whole slice; as a viewer shows it where the affine is known, as it is stored elsewhere."""
    transposed, flipped = _upright(prepared)
    height, width = prepared.frame.shape[1:]
    name = f"slice {number + 1} of {prepared.frame.shape[0]}"
    aspect = _aspect(prepared, (2, 1) if transposed else (1, 2))
    return Plane(name, 0, number, (0, height), (0, width), transposed, flipped, aspect)


def _volume_plane(prepared: PreparedCase, axis: int, at: int) -> Plane:
    """A plane of what was kept; seen from the front and the side, up is up, if the affine says where that is."""
    (start, stop), others = prepared.frame.box[axis], tuple(other for other in range(3) if other != axis)
    rows, columns = (prepared.frame.box[other] for other in others)
    name = _NAMES[axis] if prepared.affine is not None else f"across axis {axis + 1}"
    index = min(max(at, start), stop - 1)
    return Plane(name, axis, index, rows, columns, flipped=(True, False), aspect=_aspect(prepared, others))


def _upright(prepared: PreparedCase) -> tuple[bool, tuple[bool, bool]]:
    """How a slice is turned so that up, or the front, is up and the patient's right is on the right."""
    if prepared.affine is None or prepared.affine.shape != (4, 4):
        return _STORED_UPRIGHT
    orientation = io_orientation(prepared.affine)
    world = [(int(orientation[axis, 0]), orientation[axis, 1] > 0) for axis in prepared.frame.axes[1:]]
    transposed = world[0][0] < world[1][0]
    (_, is_up), (_, is_right) = world[::-1] if transposed else world
    return transposed, (bool(is_up), not is_right)


def _aspect(prepared: PreparedCase, axes: Sequence[int]) -> float:
    if prepared.spacing_mm is None:
        return 1.0
    down, across = (prepared.spacing_mm[axis] for axis in axes)
    return float(down / across)


def _slice_picture(prepared: PreparedCase, placement: Placement, plane: Plane) -> Picture:
    """A slice of the whole case on its own grid."""
    (top, left), (height, width) = placement.offset, placement.scaled
    (start, stop), *inside = prepared.frame.box
    shown = np.zeros((*prepared.frame.shape[1:], 3), np.uint8)
    if start <= plane.at < stop:
        planes = prepared.image()[plane.at - start][:, top : top + height, left : left + width]
        kept: tuple[Interval, ...] = tuple(inside)
        rows, columns = (slice(*interval) for interval in kept)
        shown[rows, columns] = cv2.resize(coloured(planes), placement.native[::-1])
    return np.ascontiguousarray(plane.turn(shown.transpose(2, 0, 1)).transpose(1, 2, 0))
