"""Planes through a volume, with position and orientation, so that any mask can be cut in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

Interval = tuple[int, int]
"""First index, and the index after the last."""


class Plane(NamedTuple):
    """A plane through arrays (..., S, H, W) in the axes of a case's frame."""

    name: str
    """Name of the plane, such as "axial", or the number of the slice."""
    axis: int
    """Axis that the plane is perpendicular to: 0 for S, 1 for H, 2 for W."""
    at: int
    """Index of the plane on that axis."""
    rows: Interval
    """The part of the first other axis that is shown."""
    columns: Interval
    """The part of the second other axis that is shown."""
    transposed: bool = False
    """True if the first other axis runs from left to right in the picture."""
    flipped: tuple[bool, bool] = (False, False)
    """True, for the rows and for the columns of the picture, if their order is reversed at the end."""
    aspect: float = 1.0
    """Height of a picture's pixel divided by its width; 1 if the spacing is unknown."""
    sides: tuple[str, str] = ("", "")
    """The patient's sides at the left and right border: R and L, or A and P; empty where the affine is unknown."""

    def cut(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the plane of an array (..., S, H, W) as rows and columns of a picture, (..., rows, columns)."""
        plane = array.take(self.at, axis=array.ndim - 3 + self.axis)
        return self.turn(plane[..., slice(*self.rows), slice(*self.columns)])

    def turn(self, plane: NDArray[Any]) -> NDArray[Any]:
        """Return a cropped plane (..., first axis, second axis) in the orientation of the picture."""
        if self.transposed:
            plane = plane.swapaxes(-1, -2)
        flip_rows, flip_columns = self.flipped
        if flip_rows:
            plane = plane[..., ::-1, :]
        if flip_columns:
            plane = plane[..., ::-1]
        return plane

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> Plane:
        """Return the plane stored in columns of a table, as `_asdict` named them; older tables have no sides."""
        fields = {name: columns[name] for name in cls._fields if name in columns}
        for name in ("rows", "columns", "flipped", "sides"):
            if name in fields:
                fields[name] = tuple(fields[name])
        return cls(**fields)
