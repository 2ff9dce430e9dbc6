"""Less noise in a channel, its edges kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Channel = NDArray[np.float32]
"""One channel of an image, (*space)."""
Denoiser = Callable[[Channel], Channel]
"""A channel (*space) -> the same with less noise."""


@dataclass(frozen=True, kw_only=True)
class TotalVariation:
    """The image of which half the squared distance to the given one, plus `weight` times its variation, is least.

    Source: Rudin, Osher and Fatemi 1992, doi:10.1016/0167-2789(92)90242-F, solved as Chambolle 2004,
    doi:10.1023/B:JMIV.0000011325.36760.1e.
    """

    weight: float
    slice_by_slice: bool
    """Whether variation is that within the slices along the first axis."""

    def __call__(self, channel: Channel) -> Channel:
        from skimage.restoration import denoise_tv_chambolle  # noqa: PLC0415 only for those who ask for it

        parts = list(channel) if self.slice_by_slice else [channel]
        smooth = [denoise_tv_chambolle(part, weight=self.weight) for part in parts]
        found: Channel = np.stack(smooth) if self.slice_by_slice else smooth[0]
        return found
