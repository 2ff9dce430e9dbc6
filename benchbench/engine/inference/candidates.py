"""The voxels of a validation case that may be foreground, from which thresholds and sizes are chosen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchbench.engine.inference.postprocess import Probabilities
from benchbench.images.arrays import Integers, Mask

THRESHOLDS = tuple(round(0.3 + 0.05 * number, 2) for number in range(9))

UNKNOWN = -1
"""Number of voxels of a region that is not labelled in a case."""

Number = TypeVar("Number", bound=np.generic)

_LARGEST_PLACE = np.iinfo(np.uint32).max


class Candidates(NamedTuple):
    """The N voxels of a case that reach the lowest threshold in any of K regions (in the outermost, if nested)."""

    shape: tuple[int, ...]
    """Size of the case (*space)."""
    places: Integers
    """(N,) positions in the flattened case, ascending."""
    probabilities: Probabilities
    """(K, N)."""
    reference: Mask
    """(K, N), False where a voxel is ignored."""
    scored: Mask
    """(N,) False where a voxel is ignored."""
    positives: Integers
    """(K,) scored voxels of the reference in the whole case, whether they reach a threshold or not.

    UNKNOWN for a region that is not labelled in the case.
    """

    def volume(self) -> Volume:
        """Return the candidates in their places in the case, and zeros elsewhere."""
        probabilities = self._scatter(self.probabilities)
        reference = self._scatter(self.reference)
        return Volume(probabilities, reference, self._scatter(self.scored[None])[0])

    def _scatter(self, values: NDArray[Number]) -> NDArray[Number]:
        """Return values (K, N) at their places in an array (K, *space) of zeros."""
        space = np.zeros((len(values), np.prod(self.shape)), values.dtype)
        space[:, self.places] = values
        return space.reshape(-1, *self.shape)


class Volume(NamedTuple):
    """The candidates of a case as arrays of its size."""

    probabilities: Probabilities
    """(K, *space), 0 where no threshold is reached."""
    reference: Mask
    """(K, *space), False where no threshold is reached."""
    scored: Mask
    """(*space), False where no threshold is reached and where a voxel is ignored."""


def find_candidates(probabilities: Probabilities, reference: Mask, scored: Mask, *, nested: bool) -> Candidates:
    """Return the candidates of a case: probabilities and reference masks (K, *space), scored voxels (*space).

    Ignored voxels are among them: they count in no Dice, but belong to components, because a prediction does not
    know them.
    """
    outermost = probabilities[:1] if nested else probabilities
    reached = (outermost >= np.float32(THRESHOLDS[0])).any(axis=0)
    places = np.flatnonzero(reached)
    regions = len(probabilities)
    reference = (reference & scored).reshape(regions, -1)
    return Candidates(
        shape=probabilities.shape[1:],
        places=places,
        probabilities=probabilities.reshape(regions, -1)[:, places],
        reference=reference[:, places],
        scored=scored.reshape(-1)[places],
        positives=np.count_nonzero(reference, axis=1),
    )


def write_candidates(file: BinaryIO, candidates: Candidates) -> None:
    """Append the candidates of a case to a file: 4 K + 4 bytes and K + 1 bits for each of them."""
    places = candidates.places
    if np.prod(candidates.shape) <= _LARGEST_PLACE:
        places = places.astype(np.uint32)
    arrays = (
        np.array(candidates.shape),
        places,
        candidates.probabilities.astype(np.float32),
        np.packbits(candidates.reference, axis=1),
        np.packbits(candidates.scored),
        candidates.positives,
    )
    for array in arrays:
        np.save(file, array, allow_pickle=False)


def read_candidates(file: BinaryIO) -> Iterator[Candidates]:
    """Yield the candidates of every case of a file, from its beginning."""
    end = file.seek(0, 2)
    file.seek(0)
    while file.tell() < end:
        shape, places, probabilities, reference, scored, positives = (np.load(file) for _ in range(6))
        count = len(places)
        yield Candidates(
            shape=tuple(shape.tolist()),
            places=places.astype(np.int64),
            probabilities=probabilities,
            reference=np.unpackbits(reference, axis=1, count=count).view(np.bool_),
            scored=np.unpackbits(scored, count=count).view(np.bool_),
            positives=positives,
        )
