"""Finds images that are all but the same under two patients: rescaled, requantised or with a little noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from benchbench.contract import Case, CaseRef

SIZE = 24
ALIKE = 0.999
"""Correlation of thumbnails from which two images are told as copies."""

Thumbnail = NDArray[np.float32]


def thumbnail(case: Case) -> Thumbnail:
    """Every channel at up to 24 samples along an axis, of mean 0, all channels together of length 1."""
    planes = [_shrink(channel.astype(np.float32)) for channel in case.image]
    flat = np.concatenate([(plane - plane.mean()).ravel() / max(float(plane.std()), 1e-6) for plane in planes])
    return (flat / max(float(np.linalg.norm(flat)), 1e-6)).astype(np.float32)


def near_twins(cases: Sequence[tuple[CaseRef, Thumbnail]]) -> Iterator[str]:
    """A line for each pair of patients with images alike beyond chance; the time grows with their square."""
    by_length: dict[int, list[tuple[CaseRef, Thumbnail]]] = {}
    for case, small in cases:
        by_length.setdefault(small.size, []).append((case, small))
    for group in by_length.values():
        stacked = np.stack([small for _, small in group])
        likeness = stacked @ stacked.T
        for first, second in np.argwhere(np.triu(likeness, 1) > ALIKE):
            one, other = group[first][0], group[second][0]
            if one.patient != other.patient:
                yield (
                    f"{other.id}: its image is like that of {one.id} of another patient (correlation"
                    f" {likeness[first, second]:.4f}); a copy would be trained on and tested"
                )


def _shrink(channel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over blocks of nearly equal size."""
    for axis, length in enumerate(channel.shape):
        count = min(SIZE, length)
        edges = np.arange(count) * length // count
        sizes = np.diff(np.append(edges, length))
        shape = [-1 if each == axis else 1 for each in range(channel.ndim)]
        sums: NDArray[np.float32] = np.add.reduceat(channel, edges, axis=axis)
        channel = (sums / sizes.reshape(shape)).astype(np.float32)
    return channel
