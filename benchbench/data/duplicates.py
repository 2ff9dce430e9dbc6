"""Finds images that two patients share: exact duplicates, and near-duplicates that were rescaled or have noise.

A duplicate under two patients could be in the training and the test part at once, and no split by patient would
prevent it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from benchbench.contract import Case, CaseRef

_SIZE = 24
"""Largest number of samples of a thumbnail along an axis."""
_SIMILAR = 0.999
"""Correlation of two thumbnails above which the images are near-duplicates."""
_TINY = 1e-6

Thumbnail = NDArray[np.float32]


def duplicates(cases: Iterable[tuple[CaseRef, str]]) -> Iterator[str]:
    """Yield a line for each image that an earlier case of another patient has, from (case, digest of voxels)."""
    first_cases: dict[str, CaseRef] = {}
    for case, digest in cases:
        first = first_cases.setdefault(digest, case)
        if first.patient != case.patient:
            yield (
                f"{case.id}: the same image, voxel for voxel, as {first.id} of another patient;"
                " remove one of them, or it would be trained on and tested"
            )


def near_duplicates(cases: Sequence[tuple[CaseRef, Thumbnail]]) -> Iterator[str]:
    """Yield a line for each pair of similar images of two patients; the time is quadratic in their number."""
    by_size: dict[int, list[tuple[CaseRef, Thumbnail]]] = {}
    for case, small in cases:
        by_size.setdefault(small.size, []).append((case, small))
    for group in by_size.values():
        stacked = np.stack([small for _, small in group])
        correlations = stacked @ stacked.T
        for first, second in np.argwhere(np.triu(correlations, 1) > _SIMILAR):
            one, other = group[first][0], group[second][0]
            if one.patient != other.patient:
                yield (
                    f"{other.id}: its image is nearly the same as {one.id} of another patient (correlation"
                    f" {correlations[first, second]:.4f}); a copy would be trained on and tested"
                )


def thumbnail(case: Case) -> Thumbnail:
    """Return all channels as one vector of length 1, each reduced to at most 24 samples per axis and mean 0."""
    parts: list[NDArray[np.float32]] = []
    for channel in case.image:
        small = _reduce(channel.astype(np.float32))
        parts.append((small - small.mean()).ravel() / max(float(small.std()), _TINY))
    vector = np.concatenate(parts)
    return (vector / max(float(np.linalg.norm(vector)), _TINY)).astype(np.float32)


def _reduce(channel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means over blocks of nearly equal size."""
    for axis, length in enumerate(channel.shape):
        count = min(_SIZE, length)
        starts = np.arange(count) * length // count
        sizes = np.diff(np.append(starts, length))
        shape = [1] * channel.ndim
        shape[axis] = -1
        sums: NDArray[np.float32] = np.add.reduceat(channel, starts, axis=axis)
        channel = (sums / sizes.reshape(shape)).astype(np.float32)
    return channel
