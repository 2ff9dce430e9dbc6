"""Room in memory for the images of a case, so that reading them one by one leaves them stacked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Room = Callable[[tuple[int, ...], np.dtype[Any]], NDArray[Any]]
"""(shape, dtype) -> an array in Fortran order, for voxels to be decoded into."""


def own_room(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Memory of its own."""
    return np.empty(shape, dtype, order="F")


class Stack:
    """Room for volumes of one shape and type side by side, so that they need not be copied together afterwards."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._array: NDArray[Any] | None = None  # (count, Z, Y, X)

    def room(self, number: int) -> Room:
        """For the volume of this number; one unlike the first gets room elsewhere."""

        def room(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
            if self._array is None:
                self._array = np.empty((self._count, *shape[::-1]), dtype)
            fits = (self._array.shape[1:], self._array.dtype) == (shape[::-1], dtype)
            return self._array[number].T if fits else np.empty(shape, dtype, order="F")

        return room

    def stacked(self, voxels: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """(count, X, Y, Z), copied only where one lies elsewhere."""
        whole = self._array
        if whole is not None and all(
            (own.dtype, own.ctypes.data) == (each.dtype, each.ctypes.data) and own.ndim == each.ndim
            for own, each in zip(whole, voxels, strict=True)
        ):
            return whole.transpose(0, 3, 2, 1)
        return np.stack(voxels)
