"""Pictures of a case: the planes that show it, and their pixels.

The reference chooses the planes, never a prediction, so that all models are shown on the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from benchbench.engine.preparation.placement import Placement
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.images.arrays import Mask
from benchbench.images.planes import Plane

Picture = NDArray[np.uint8]
"""(H, W, 3): red, green, blue."""
_BRIGHTEST = 0.999  # quantile that is white
_ALL = slice(None)
Window = tuple[float, float]
"""The values that are black and white in a picture."""
_NAMES = ("axial", "coronal", "sagittal")
_SIDES = {0: ("R", "L"), 1: ("A", "P")}
"""World axis that runs from left to right in a picture -> the patient's sides at its borders."""


class Orientation(NamedTuple):
    """The way to turn a slice for display."""

    transposed: bool = False
    flipped: tuple[bool, bool] = (False, False)
    sides: tuple[str, str] = ("", "")


def planes_through(prepared: PreparedCase, masks: Mask) -> list[Plane]:
    """Return the planes that show a case.

    In 2D it is the slice where masks (S, K, H, W) are largest. In 3D there are three, through the middle of that
    slice's masks. Where the masks are empty, the middle of the cropped part takes its place.
    """
    if masks.any():
        number = int(masks.sum((1, 2, 3)).argmax())
        pixels = np.argwhere(masks[number].any(0))
        row, column = pixels.mean(0).astype(int).tolist()
    else:
        number, row, column = ((start + stop) // 2 for start, stop in prepared.frame.box)
    if prepared.placement:
        return [_slice(prepared, number)]
    indices = (number, row, column)
    return [_volume_plane(prepared, axis, index) for axis, index in enumerate(indices)]


def render_plane(
    prepared: PreparedCase, plane: Plane, *, channels: slice = _ALL, window: Window | None = None
) -> Picture:
    """Return the pixels of a plane, of all channels or of some; the cropped margin of a slice is black.

    Without a window, the plane's own values set black and white.
    """
    if prepared.placement:
        values = _slice_values(prepared, prepared.placement, plane, channels)
        return _render_slice(prepared, prepared.placement, plane, values, window)
    return to_rgb(plane.turn(_volume_values(prepared, plane, channels)), window)


def window_of_plane(prepared: PreparedCase, plane: Plane) -> Window:
    """Return the values that are black and white in the picture of a plane, to draw others of the case alike."""
    if prepared.placement:
        values = _slice_values(prepared, prepared.placement, plane, _ALL)
    else:
        values = _volume_values(prepared, plane, _ALL)
    return window_of(shown_channels(values))


def reference_masks(prepared: PreparedCase, *, regions: int) -> Mask:
    """Return the reference masks (S, K, H, W) of the whole case."""
    label = prepared.native_label()
    return np.stack([(label >> number) & 1 > 0 for number in range(regions)], 1)


def to_rgb(channels: NDArray[Any], window: Window | None = None) -> Picture:
    """Return channels (C, H, W) in 8 bits: three as red, green and blue; otherwise the first one in grey.

    Voxels that are 0 in all channels are black, also where standardised tissue has values below 0.
    """
    values = shown_channels(channels)
    picture = to_bytes(values, window or window_of(values))
    picture[(values == 0).all(0)] = 0
    return picture


def shown_channels(channels: NDArray[Any]) -> NDArray[np.float32]:
    """Return the channels (3, H, W) that a picture has as red, green and blue."""
    values = np.asarray(channels, np.float32)
    return values if len(values) == 3 else np.repeat(values[:1], 3, axis=0)


def window_of(values: NDArray[np.float32]) -> Window:
    """Return the values that are black and white in a picture."""
    return float(values.min()), float(np.quantile(values, _BRIGHTEST))


def to_bytes(values: NDArray[np.float32], window: Window) -> Picture:
    """Return values (3, H, W) in 8 bits, (H, W, 3)."""
    low, high = window
    scaled = np.clip((values - low) / max(high - low, 1e-6), 0, 1) * 255
    return np.ascontiguousarray(scaled.transpose(1, 2, 0)).astype(np.uint8)


def _slice(prepared: PreparedCase, number: int) -> Plane:
    """Return a whole slice, in the radiological convention where the affine is known, otherwise as stored."""
    orientation = _radiological(prepared)
    height, width = prepared.frame.shape[1:]
    name = f"slice {number + 1} of {prepared.frame.shape[0]}"
    aspect = _aspect(prepared, (2, 1) if orientation.transposed else (1, 2))
    return Plane(name, 0, number, (0, height), (0, width), aspect=aspect, **orientation._asdict())


def _volume_plane(prepared: PreparedCase, axis: int, index: int) -> Plane:
    """Return a plane of the cropped part, in the radiological convention where the affine is known."""
    start, stop = prepared.frame.box[axis]
    others = tuple(other for other in range(3) if other != axis)
    rows, columns = (prepared.frame.box[other] for other in others)
    name = f"across axis {axis + 1}" if prepared.affine is None else _NAMES[axis]
    index = min(max(index, start), stop - 1)
    aspect = _aspect(prepared, others)
    if prepared.affine is None:
        return Plane(name, axis, index, rows, columns, flipped=(True, False), aspect=aspect)
    # a volume has the axes (superior, anterior, right): only the sagittal plane has no right
    sides = _SIDES[1 if axis == 2 else 0]
    return Plane(name, axis, index, rows, columns, flipped=(True, True), aspect=aspect, sides=sides)


def _radiological(prepared: PreparedCase) -> Orientation:
    """Return how to turn a slice so that superior or anterior is up, and the patient's right is on the left.

    In a sagittal slice, anterior is on the left.
    """
    if prepared.affine is None or prepared.affine.shape != (4, 4):
        return Orientation()
    orientation = io_orientation(prepared.affine)  # (3, 2): world axis and direction of each axis of the case
    _, row_axis, column_axis = prepared.frame.axes
    transposed = bool(orientation[row_axis, 0] < orientation[column_axis, 0])
    if transposed:
        row_axis, column_axis = column_axis, row_axis
    runs_up = bool(orientation[row_axis, 1] > 0)
    runs_from_left_or_back = bool(orientation[column_axis, 1] > 0)
    sides = _SIDES[int(orientation[column_axis, 0])]
    return Orientation(transposed, (runs_up, runs_from_left_or_back), sides)


def _aspect(prepared: PreparedCase, axes: Sequence[int]) -> float:
    if prepared.spacing_mm is None:
        return 1.0
    down, across = (prepared.spacing_mm[axis] for axis in axes)
    return float(down / across)


def _volume_values(prepared: PreparedCase, plane: Plane, selection: slice) -> NDArray[Any]:
    """Return the channels (C, first axis, second axis) of a plane of the cropped part, on the grid of the case."""
    start, _ = prepared.frame.box[plane.axis]
    at = plane.at - start
    if prepared.grid is None:
        return prepared.image()[selection].take(at, axis=1 + plane.axis)
    native, size, _ = prepared.grid
    values = prepared.image()[selection].take(at * size[plane.axis] // native[plane.axis], axis=1 + plane.axis)
    rows, columns = (length for axis, length in enumerate(native) if axis != plane.axis)
    return np.stack([cv2.resize(channel.astype(np.float32), (columns, rows)) for channel in values])


def _slice_values(prepared: PreparedCase, placement: Placement, plane: Plane, selection: slice) -> NDArray[Any]:
    """Return the channels (C, H, W) of a slice as prepared, without padding; zeros outside the cropped part."""
    (top, left), (height, width) = placement.offset, placement.scaled
    start, stop = prepared.frame.box[0]
    if not start <= plane.at < stop:
        return np.zeros((1, height, width))
    channels: NDArray[Any] = prepared.image()[plane.at - start][selection]
    return channels[:, top : top + height, left : left + width]


def _render_slice(
    prepared: PreparedCase, placement: Placement, plane: Plane, values: NDArray[Any], window: Window | None
) -> Picture:
    """Return a slice of the whole case on its own grid."""
    _, (first_row, last_row), (first_column, last_column) = prepared.frame.box
    native = cv2.resize(to_rgb(values, window), placement.native[::-1])
    picture = np.zeros((*prepared.frame.shape[1:], 3), np.uint8)
    picture[first_row:last_row, first_column:last_column] = native
    return np.ascontiguousarray(plane.turn(picture.transpose(2, 0, 1)).transpose(1, 2, 0))
