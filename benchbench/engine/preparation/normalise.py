"""Normalises the intensities of a case."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchbench.engine.preparation.denoise import Channel, Denoiser
from benchbench.engine.preparation.statistics import ChannelStatistics
from benchbench.images.arrays import Mask
from benchbench.spec.protocol import Intensity

_PERCENTILES = (0.5, 99.5)
_LEAST_SD = 1e-8
_BYTES = (0.0, 255.0)


def normalise(
    image: NDArray[Any],
    intensity: Intensity,
    *,
    denoise: Denoiser | None = None,
    one_hot_foreground: bool = False,
    window: tuple[float, float] | None = None,
    statistics: Sequence[ChannelStatistics] = (),
) -> NDArray[Any]:
    """Return a normalised image (C, *space) in float16.

    unit            0 to 1: 8-bit images are divided by 255, others scaled by the range of the channel
    zscore          mean 0 and standard deviation 1 over the channel
    zscore_nonzero  mean 0 and standard deviation 1 over the voxels other than 0; 0 stays 0
    percentile      clipped at the 0.5 and 99.5 percentiles, which become 0 and 1
    ct              clipped and standardised by `statistics`, one for each channel

    With `window` values are clipped first; `unit` then scales from the window.

    A constant channel becomes 0. `denoise` gets normalised channels; with zscore_nonzero, 0 stays 0 here too. With
    `one_hot_foreground` a channel is appended that is 1 where any other one is not 0. An 8-bit image that needs
    nothing but the division by 255 stays 8-bit, undivided.
    """
    is_8_bit = image.dtype == np.uint8
    if is_8_bit and _stays(intensity, denoise, one_hot_foreground=one_hot_foreground, window=window):
        return np.ascontiguousarray(image)
    limits = _limits(window, is_8_bit=is_8_bit)
    channels, *space = image.shape
    memory = np.empty((channels + one_hot_foreground, *space), dtype=np.float16)  # in large pages, unlike torch's
    scaled = torch.from_numpy(memory)
    foreground = np.zeros(space, dtype=bool)
    values = np.empty(space, dtype=np.float32)
    for number, (channel, stored) in enumerate(zip(scaled, image, strict=False)):
        np.copyto(values, stored)
        inside = values != 0
        if one_hot_foreground:
            foreground |= inside
        if window is not None:
            np.clip(values, *window, out=values)
        of_channel = statistics[number] if statistics else None
        _scale(values, intensity, inside=inside, limits=limits, statistics=of_channel)
        result = values
        if denoise is not None:
            result = _denoised(values, denoise, inside=inside if intensity == "zscore_nonzero" else None)
        channel.copy_(torch.from_numpy(result))  # torch rounds to float16 many times faster than numpy
    if one_hot_foreground:
        scaled[-1].copy_(torch.from_numpy(foreground))
    return memory


def _stays(
    intensity: Intensity,
    denoise: Denoiser | None,
    *,
    one_hot_foreground: bool,
    window: tuple[float, float] | None,
) -> bool:
    """Return True if an 8-bit image needs nothing but the division by 255."""
    return intensity == "unit" and not one_hot_foreground and denoise is None and window is None


def _limits(window: tuple[float, float] | None, *, is_8_bit: bool) -> tuple[float, float] | None:
    """Return the values that `unit` makes 0 and 1; None for the range of the channel."""
    if window is None and is_8_bit:
        return _BYTES
    return window


def _denoised(values: Channel, denoise: Denoiser, *, inside: Mask | None) -> Channel:
    """Return a channel with less noise; 0 where `inside` is False."""
    smooth = denoise(values)
    if inside is not None:
        smooth *= inside
    return smooth


def _standardise_by(values: Channel, statistics: ChannelStatistics) -> None:
    """Clip and standardise the values of a channel in place, as nnU-Net does for CT."""
    np.clip(values, statistics.low, statistics.high, out=values)
    values -= statistics.mean
    values /= max(statistics.sd, _LEAST_SD)


def _scale(
    values: Channel,
    intensity: Intensity,
    *,
    inside: Mask,
    limits: tuple[float, float] | None,
    statistics: ChannelStatistics | None,
) -> None:
    """Change the values of a channel in place; `inside` is True where they are not 0.

    `limits` are the values that `unit` makes 0 and 1; without them they are the range of the channel.
    """
    match intensity:
        case "unit":
            low, high = limits or (float(values.min()), float(values.max()))
            values -= low
            values *= _inverse(high - low)
        case "ct":
            assert statistics is not None, "a fold has them"
            _standardise_by(values, statistics)
        case "zscore":
            _standardise(values, values.size)
        case "zscore_nonzero":
            _standardise(values, int(np.count_nonzero(inside)), inside=inside)
        case "percentile":
            low, high = np.percentile(values, _PERCENTILES).tolist()
            np.clip(values, low, high, out=values)
            values -= low
            values *= _inverse(high - low)


def _standardise(values: Channel, count: int, *, inside: Mask | None = None) -> None:
    """Give `count` values mean 0 and standard deviation 1, in place; the values outside `inside` stay 0."""
    values -= values.sum() / max(count, 1)
    if inside is not None:
        values *= inside
    flat = values.ravel()
    variance = float(np.dot(flat, flat)) / max(count, 1)
    values *= _inverse(math.sqrt(variance))


def _inverse(span: float) -> float:
    return 1 / span if span > 0 else 0.0
