"""Planes through a volume: where each was cut and how it is turned, so that any mask can be cut the same way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

Interval = tuple[int, int]
"""First index and the one after the last."""


class Plane(NamedTuple):
    """A plane of arrays (..., S, H, W) in the axes of a case's frame."""

    name: str
    axis: int
    at: int
    rows: Interval
    """What is kept of the first of the other two axes."""
    columns: Interval
    transposed: bool = False
    """Whether the first of them runs from left to right."""
    flipped: tuple[bool, bool] = (False, False)
    """Whether the picture's rows, and its columns, then run the other way."""
    aspect: float = 1.0
    """Height of a picture's pixel over its width; 1 where the spacing is unknown."""

    def cut(self, array: NDArray[Any]) -> NDArray[Any]:
        """(..., S, H, W) -> (..., rows, columns) of the picture."""
        plane = array.take(self.at, axis=array.ndim - 3 + self.axis)
        return self.turn(plane[..., slice(*self.rows), slice(*self.columns)])

    def turn(self, plane: NDArray[Any]) -> NDArray[Any]:
        """A kept part (..., first axis, second axis) as the picture shows it."""
        plane = plane.swapaxes(-1, -2) if self.transposed else plane
        down, across = (slice(None, None, -1 if flip else 1) for flip in self.flipped)
        return plane[..., down, across]

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> Plane:
        """The plane that was kept as columns of a table (`_asdict`)."""
        found = {name: columns[name] for name in cls._fields}
        pairs = {name: tuple(found[name]) for name in ("rows", "columns", "flipped")}
        return cls(**{**found, **pairs})
