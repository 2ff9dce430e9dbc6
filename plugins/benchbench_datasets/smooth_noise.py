"""Smooth random fields, of which phantoms make tissue borders, coil shading and texture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchbench.images.arrays import Floats


def smooth_noise(rng: Generator, bases: Sequence[Floats]) -> Floats:
    """Return a random field of mean 0 and SD 1 that changes as slowly as the bumps of the bases are wide.

    `bases` holds the result of `gaussian_bumps` for each of the three axes of the field.
    """
    first, second, third = bases
    weights = rng.standard_normal((first.shape[1], second.shape[1], third.shape[1]))
    field: Floats = np.einsum("xi,yj,zk,ijk->xyz", first, second, third, weights, optimize=True)
    return field


def gaussian_bumps(positions: NDArray[np.number], *, width: float, end: float | None = None) -> Floats:
    """Return Gaussians over an axis, one `width` apart and as wide, (N, bumps); each position has unit energy.

    The bumps reach from two widths before the first position to 2.5 behind `end`, by default the last position.
    """
    stop = positions[-1] if end is None else end
    centres = np.arange(positions[0] - 2 * width, stop + 2.5 * width, width)
    bumps = np.exp(-0.5 * ((positions[:, None] - centres) / width) ** 2)
    unit: Floats = bumps / np.linalg.norm(bumps, axis=1, keepdims=True)
    return unit
