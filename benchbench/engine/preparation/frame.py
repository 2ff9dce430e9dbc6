"""How a prepared volume lies in its case: which axes, which way, and which part was kept.

In 3D a volume is kept as (superior, anterior, right), whatever the order of the file's axes; in 2D the axis that
slices are cut along comes first. All that a frame does to an array can be undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import Any, NamedTuple

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from benchbench.images.arrays import Floats, Mask, bounding_box
from benchbench.images.planes import Interval
from benchbench.spec.protocol import SliceAxis

Intervals = tuple[Interval, ...]
"""The first index and the one after the last, for each axis."""
Index = tuple[EllipsisType | slice, ...]

_WORLD: dict[SliceAxis, int] = {"sagittal": 0, "coronal": 1, "axial": 2}  # right, anterior, superior


class Frame(NamedTuple):
    """The way from a case's axes to a volume's."""

    axes: tuple[int, ...]
    """The case's axis behind each axis of the volume."""
    flipped: tuple[bool, ...]
    """Which axes of the volume run the other way."""
    shape: tuple[int, ...]
    """Of the whole case, in the volume's axes."""
    box: Intervals
    """What of it is kept."""

    def orient(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of an array (..., X, Y, Z) of the case in the volume's axes, uncropped."""
        lead = array.ndim - 3
        moved = array.transpose(*range(lead), *(lead + axis for axis in self.axes))
        return moved[self._turned()]

    def restore(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of an array (..., *shape) in the case's own axes: what undoes `orient`."""
        lead = array.ndim - 3
        return array[self._turned()].transpose(*range(lead), *(lead + self.axes.index(axis) for axis in range(3)))

    def orient_box(self, box: Intervals) -> Intervals:
        """A box of the case's axes in the volume's."""
        turned = []
        for axis, flip, size in zip(self.axes, self.flipped, self.shape, strict=True):
            start, stop = box[axis]
            turned.append((size - stop, size - start) if flip else (start, stop))
        return tuple(turned)

    def crop(self, array: NDArray[Any]) -> NDArray[Any]:
        """A view of the part of an array (..., *shape) that is kept."""
        kept: Index = (..., *(slice(*interval) for interval in self.box))
        return array[kept]

    def _turned(self) -> Index:
        return (..., *(slice(None, None, -1 if flip else 1) for flip in self.flipped))

    def paste(self, part: NDArray[Any]) -> NDArray[Any]:
        """The array (..., *shape) with the kept part in its place and zeros around it."""
        if part.shape[-3:] == self.shape:
            return part
        whole = np.zeros((*part.shape[:-3], *self.shape), part.dtype)
        self.crop(whole)[...] = part
        return whole


def whole_frame(shape: Sequence[int], affine: Floats | None, *, slice_axis: SliceAxis | None) -> Frame:
    """The frame of a case of three axes that keeps all of it.

    With `slice_axis` the named axis comes first and the others follow as they are stored; without, the axes are
    (superior, anterior, right). Where no affine is known they stay as stored. An oblique volume is taken along the
    array axes nearest to the names'.
    """
    axes: tuple[int, ...] = (0, 1, 2)
    flipped: tuple[bool, ...] = (False, False, False)
    if affine is not None:
        orientation = io_orientation(affine)
        stored = {int(world): axis for axis, world in enumerate(orientation[:, 0])}
        if slice_axis is None:
            axes = (stored[2], stored[1], stored[0])
            flipped = tuple(bool(orientation[axis, 1] < 0) for axis in axes)
        else:
            first = stored[_WORLD[slice_axis]]
            axes = (first, *(axis for axis in range(3) if axis != first))
    sizes = tuple(int(shape[axis]) for axis in axes)
    return Frame(axes, flipped, sizes, tuple((0, size) for size in sizes))


def nonzero_box(image: NDArray[Any]) -> Intervals:
    """Return the smallest box around the voxels of (C, *space) that some channel has other than 0.

    It is the whole space where every voxel is 0.
    """
    inside = _is_nonzero(image)
    box = bounding_box(inside)
    if not inside[box].size:
        return tuple((0, size) for size in inside.shape)
    return tuple((part.start, part.stop) for part in box)


def _is_nonzero(image: NDArray[Any]) -> Mask:
    """Return where any channel of (C, *space) is not 0, (*space)."""
    if image.dtype.kind in "iu":  # one comparison for all channels is faster than one for each
        any_bit = image[0].copy("K")
        for channel in image[1:]:
            any_bit |= channel
        return any_bit != 0
    inside = image[0] != 0
    for channel in image[1:]:
        inside |= channel != 0
    return inside
