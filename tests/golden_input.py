"""An image and a label from which `nnunet_resampled.npz` was computed."""

from __future__ import annotations

import numpy as np


def example(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A smooth image with an edge, and two nested labels."""
    grid = np.stack(np.meshgrid(*(np.linspace(-1, 1, length) for length in shape), indexing="ij"))
    radius = np.sqrt((grid**2 * np.array([1.0, 1.2, 0.8]).reshape(3, 1, 1, 1)).sum(0))
    image = 100 * np.sin(3 * grid[1]) * np.cos(2 * grid[2]) + 80 * (radius < 0.7) + 20 * grid[0]
    label = (radius < 0.9).astype(np.uint8) + (radius < 0.5).astype(np.uint8)
    return image.astype(np.float32), label
