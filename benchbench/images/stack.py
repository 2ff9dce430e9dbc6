"""Memory for the images of a case, allocated so that images read one by one are already stacked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Room = Callable[[tuple[int, ...], np.dtype[Any]], NDArray[Any]]
"""(shape, dtype) -> an array in Fortran order, which voxels are decoded into."""


def new_room(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Allocate a new array."""
    return np.empty(shape, dtype, order="F")


class Stack:
    """One array for several volumes of the same shape and type, so that stacking them needs no copy."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._array: NDArray[Any] | None = None  # (count, Z, Y, X), allocated for the first volume

    def room(self, number: int) -> Room:
        """Return the memory of volume `number`; a volume that does not match the first gets a new array."""

        def room(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
            if self._array is None:
                self._array = np.empty((self._count, *shape[::-1]), dtype)
            if self._array.shape[1:] == shape[::-1] and self._array.dtype == dtype:
                memory: NDArray[Any] = self._array[number].T
                return memory
            return new_room(shape, dtype)

        return room

    def stacked(self, volumes: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Return the volumes as (count, X, Y, Z); they are copied only if one of them is in another array."""
        if self._array is not None and self._holds_all(volumes):
            return self._array.transpose(0, 3, 2, 1)
        return np.stack(volumes)

    def _holds_all(self, volumes: Sequence[NDArray[Any]]) -> bool:
        assert self._array is not None, "the array is allocated with the first volume"
        for part, volume in zip(self._array, volumes, strict=True):
            is_same_memory = part.ctypes.data == volume.ctypes.data
            if not is_same_memory or part.dtype != volume.dtype or part.ndim != volume.ndim:
                return False
        return True
