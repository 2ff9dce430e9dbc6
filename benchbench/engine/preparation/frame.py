"""The relation of a prepared volume to its case: order and direction of the axes, and the cropped part.

A prepared volume has the axes (superior, anterior, right), whatever the order in the file; a stack of slices has
the axis across the slices first. Everything that a frame does to an array can be undone.
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

_DIRECTIONS = {False: slice(None), True: slice(None, None, -1)}
_WORLD: dict[SliceAxis, int] = {"sagittal": 0, "coronal": 1, "axial": 2}  # right, anterior, superior


class Frame(NamedTuple):
    """The way from the axes of a case to those of a prepared volume."""

    axes: tuple[int, ...]
    """For each axis of the volume, the axis of the case."""
    flipped: tuple[bool, ...]
    """True for axes of the volume that run against the axis of the case."""
    shape: tuple[int, ...]
    """Shape of the whole case, in the axes of the volume."""
    box: Intervals
    """The part of the case that the volume has, in the axes of the volume."""

    def orient(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a view of an array (..., X, Y, Z) of the case in the axes of the volume, uncropped."""
        lead = array.ndim - 3
        spatial = [lead + axis for axis in self.axes]
        return array.transpose(*range(lead), *spatial)[self._flips()]

    def restore(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a view of an array (..., *shape) in the axes of the case; it undoes `orient`."""
        lead = array.ndim - 3
        spatial = [lead + self.axes.index(axis) for axis in range(3)]
        return array[self._flips()].transpose(*range(lead), *spatial)

    def orient_box(self, box: Intervals) -> Intervals:
        """Return a box, given in the axes of the case, in the axes of the volume."""
        oriented = []
        for axis, is_flipped, size in zip(self.axes, self.flipped, self.shape, strict=True):
            start, stop = box[axis]
            if is_flipped:
                start, stop = size - stop, size - start
            oriented.append((start, stop))
        return tuple(oriented)

    def crop(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return a view of the part of an array (..., *shape) that is in the box."""
        index: Index = (..., *[slice(start, stop) for start, stop in self.box])
        return array[index]

    def paste(self, part: NDArray[Any]) -> NDArray[Any]:
        """Return an array (..., *shape) with a cropped part in its place and 0 around it."""
        if part.shape[-3:] == self.shape:
            return part
        whole = np.zeros((*part.shape[:-3], *self.shape), part.dtype)
        self.crop(whole)[...] = part
        return whole

    def _flips(self) -> Index:
        return (..., *[_DIRECTIONS[is_flipped] for is_flipped in self.flipped])


def whole_frame(shape: Sequence[int], affine: Floats | None, *, slice_axis: SliceAxis | None) -> Frame:
    """Return the frame of a case of three axes, without cropping.

    With `slice_axis` the named axis is first and the others follow as they are stored; without it the axes are
    (superior, anterior, right). Axes stay as stored where no affine is known. In an oblique volume the array axes
    nearest to the named directions count.
    """
    axes: tuple[int, ...] = (0, 1, 2)
    flipped: tuple[bool, ...] = (False, False, False)
    if affine is not None:
        orientation = io_orientation(affine)
        stored = {int(world): axis for axis, world in enumerate(orientation[:, 0])}
        if slice_axis is None:
            axes = (stored[2], stored[1], stored[0])
            is_reversed = orientation[:, 1] < 0
            flipped = tuple(bool(is_reversed[axis]) for axis in axes)
        else:
            first = stored[_WORLD[slice_axis]]
            axes = (first, *sorted({0, 1, 2} - {first}))
    sizes = tuple(int(shape[axis]) for axis in axes)
    return Frame(axes, flipped, sizes, _whole_box(sizes))


def nonzero_box(image: NDArray[Any]) -> Intervals:
    """Return the smallest box around the voxels of (C, *space) that are not 0 in some channel.

    It is the whole space where every voxel is 0.
    """
    inside = _is_nonzero(image)
    box = bounding_box(inside)
    if not inside[box].size:
        return _whole_box(inside.shape)
    return tuple((part.start, part.stop) for part in box)


def _whole_box(shape: Sequence[int]) -> Intervals:
    return tuple((0, size) for size in shape)


def _is_nonzero(image: NDArray[Any]) -> Mask:
    """Return (*space), True where any channel of (C, *space) is not 0."""
    if image.dtype.kind in "iu":  # one comparison for all channels is faster than one for each
        any_bit = image[0].copy("K")
        for channel in image[1:]:
            any_bit |= channel
        return any_bit != 0
    inside = image[0] != 0
    for channel in image[1:]:
        inside |= channel != 0
    return inside
