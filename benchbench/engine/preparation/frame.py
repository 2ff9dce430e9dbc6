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

from benchbench.spec.protocol import SliceAxis

Box = tuple[tuple[int, int], ...]
"""First index and the one after the last, for each axis."""
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
    box: Box
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

    def orient_box(self, box: Box) -> Box:
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


def whole_frame(
    shape: Sequence[int], affine: NDArray[np.float64] | None, *, slice_axis: SliceAxis | None
) -> Frame:
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


def nonzero_box(image: NDArray[Any]) -> Box:
    """The smallest box around what any channel of (C, *space) has other than 0; the whole space if none has."""
    if image.dtype.kind in "iu":  # one comparison instead of one a channel
        any_bit = image[0].copy("K")
        for channel in image[1:]:
            any_bit |= channel
        return mask_box(any_bit != 0)
    inside = image[0] != 0
    for channel in image[1:]:
        inside |= channel != 0
    return mask_box(inside)


def mask_box(inside: NDArray[np.bool_]) -> Box:
    """The smallest box around a mask; the whole space where it is empty."""
    box = []
    for axis in range(inside.ndim):
        # over one axis after the other: each pass leaves less to look at
        line: NDArray[np.bool_] = inside
        for other in reversed(range(inside.ndim)):
            if other != axis:
                line = np.asarray(line.any(other))
        found = np.flatnonzero(line)
        box.append((int(found[0]), int(found[-1]) + 1) if len(found) else (0, inside.shape[axis]))
    return tuple(box)
