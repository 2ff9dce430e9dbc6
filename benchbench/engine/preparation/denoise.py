"""Edge-preserving noise reduction of one channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchbench.extras import require_extra

Channel = NDArray[np.float32]
"""One channel of an image, (*space)."""
Denoiser = Callable[[Channel], Channel]
"""Returns a channel with less noise."""


@dataclass(frozen=True, kw_only=True)
class TotalVariation:
    """Minimises half the squared distance to the given image plus `weight` times the total variation.

    Source: Rudin, Osher and Fatemi 1992, doi:10.1016/0167-2789(92)90242-F, solved as in Chambolle 2004,
    doi:10.1023/B:JMIV.0000011325.36760.1e.
    """

    weight: float
    slice_by_slice: bool
    """True: only the variation within slices along the first axis counts."""

    def __call__(self, channel: Channel) -> Channel:
        require_extra("scikit-image", "protocol.denoise")
        from skimage.restoration import denoise_tv_chambolle  # noqa: PLC0415 few benchmarks need it

        if not self.slice_by_slice:
            smooth: Channel = denoise_tv_chambolle(channel, weight=self.weight)
            return smooth
        return np.stack([denoise_tv_chambolle(plane, weight=self.weight) for plane in channel])
