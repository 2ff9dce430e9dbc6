"""Sliding window: predicts a volume of any size with a network that takes patches of one size.

The windows form a grid, so the weights of a window are the product of one vector per axis. Along each axis the
weights of all windows that cover a voxel add up to 1: results are multiplied and added, and there is no map of
weights to divide by afterwards. MONAI's SlidingWindowInferer has such a map, and nnU-Net's predictor sums in
float16; on a CPU they took 1.7 and 5.4 times as long.

Source: the Gaussian importance of Isensee et al. 2021 (nnU-Net), doi:10.1038/s41592-020-01008-z.
Differs: sums are float32. In float16 the rounding is visible in the result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor

from benchbench.engine.inference.window_buffer import WindowBuffer
from benchbench.errors import IncompatibleError

Importance = Literal["gaussian", "constant"]
"""Weight of a voxel in its window: a Gaussian about the centre, 1/8 of the patch wide, or equal for all voxels."""

_GAUSSIAN_SHARE = 1 / 8


class Span(NamedTuple):
    """One window along one axis."""

    start: int
    weights: Tensor
    """(width,) float32."""


Window = tuple[Span, ...]
"""A span for each axis."""


@torch.inference_mode()
def predict_windows(
    predict: Callable[[Tensor], Tensor],
    volume: Tensor,
    *,
    patch: Sequence[int],
    overlap: float = 0.5,
    importance: Importance = "gaussian",
    batch: int = 1,
    flips: bool = False,
    buffer: WindowBuffer | None = None,
) -> Tensor:
    """Return the result (K, *space) float32 for a volume (C, *space): the weighted mean over its windows.

    `predict` maps (B, C, *patch) float32, not always contiguous, to (B, K, *patch) of any precision. A volume
    smaller than the patch is padded with 0 on both sides, and the result cropped back. `flips` is test-time
    augmentation: the result of a window is the mean over its 2^n flips, each flipped back. A `buffer` that is used
    from case to case saves much of the time on a CPU; the result is in it, and the next call overwrites it.

    Memory, without the volume and what `predict` needs for a batch: 4 K bytes per voxel for the result, 4 bytes
    per voxel of one patch for the weights, and up to 4 (2 C + 3 K) bytes per voxel of a batch of patches. A padded
    volume is held once more. It does not depend on the number of windows.

    Raises:
        IncompatibleError: the result of `predict` does not have the size of the patch.
    """
    padded, inner = _pad(volume, patch)
    windows = _windows(padded, patch, overlap=overlap, importance=importance)
    share = 0.5 ** len(patch) if flips else 1.0
    buffer = buffer or WindowBuffer()
    weights = buffer.take("weights", patch, device=volume.device)
    sums: Tensor | None = None
    for group in _in_batches(windows, batch):
        images = _crop(padded, group)
        results = sum_over_flips(predict, images, buffer=buffer) if flips else predict(images)
        _check_size(results, patch)
        if sums is None:
            shape = (results.shape[1], *padded.shape[1:])
            sums = buffer.take("sums", shape, device=volume.device).zero_()
        _add_weighted(sums, results, group, share=share, buffer=weights)
        del images, results  # otherwise they take memory while the next ones are computed
    assert sums is not None, "a volume has at least one window"
    return sums[inner]


def window_spans(
    size: int,
    width: int,
    *,
    overlap: float,
    importance: Importance = "gaussian",
    device: torch.device | str = "cpu",
) -> list[Span]:
    """Return the windows along an axis of `size` voxels, at least `width`; weights add up to 1 at every voxel.

    The first begins at 0 and the last ends at `size`. Neighbours share at least `overlap` of the width, rounded up
    to voxels but never the whole width. There are as few as that allows, spread evenly, to a voxel.
    """
    shared = math.ceil(round(width * overlap, 6))
    stride = max(1, width - shared)
    gaps = math.ceil((size - width) / stride)
    starts = [0]
    if gaps:
        starts = [round(number * (size - width) / gaps) for number in range(gaps + 1)]
    bell = torch.ones(width, dtype=torch.float64)
    if importance == "gaussian":
        bell = _gaussian(width)
    totals = torch.zeros(size, dtype=torch.float64)
    for start in starts:
        totals[start : start + width] += bell
    spans = []
    for start in starts:
        weights = bell / totals[start : start + width]
        spans.append(Span(start, weights.float().to(device)))
    return spans


def count_windows(space: Sequence[int], patch: Sequence[int], *, overlap: float) -> int:
    """Return the number of windows of a volume of size `space`."""
    count = 1
    for size, width in zip(space, patch, strict=True):
        count *= len(window_spans(max(size, width), width, overlap=overlap))
    return count


def sum_over_flips(
    predict: Callable[[Tensor], Tensor], images: Tensor, *, buffer: WindowBuffer | None = None
) -> Tensor:
    """Return the sum of what `predict` returns for all flips of (B, C, *patch), each flipped back.

    With a `buffer` the sum may be in it, and the next call overwrites it. `predict` must neither keep nor change
    the images: later flips overwrite them, or are made of them.
    """
    buffer = buffer or WindowBuffer()
    last = images.ndim - 1
    flips: list[tuple[int, ...]] = []
    for count in (1, 2, 3):
        flips += itertools.combinations(range(2, images.ndim), count)
    mirrored = _flipped(images, (last,), buffer, use="mirrored")
    total: Tensor | None = None
    for flip in flips:
        # turning lines around is slow on a CPU, so that one image that has them turned serves all of these flips
        source, others = (mirrored, flip[:-1]) if last in flip else (images, flip)
        results = predict(_flipped(source, others, buffer, use="flipped") if others else source)
        if total is None:
            # a copy: a result of `predict` itself may be a view of the volume
            total = _flipped(results, flip, buffer, use="total").float()
        else:
            _add_flipped(total, results, flip)
    assert total is not None, "images have axes"
    return total.add_(predict(images))


def _flipped(values: Tensor, axes: tuple[int, ...], buffer: WindowBuffer, *, use: str) -> Tensor:
    """Return the values flipped along axes, on a CPU in memory that is used again."""
    if not _is_numpy_faster(values):
        return values.flip(axes)
    flipped = buffer.take(use, values.shape, device=values.device)
    np.copyto(flipped.numpy(), np.flip(values.numpy(), axes))
    return flipped


def _add_flipped(total: Tensor, results: Tensor, axes: tuple[int, ...]) -> None:
    if _is_numpy_faster(results):
        summed = total.numpy()
        np.add(summed, np.flip(results.numpy(), axes), out=summed)
    else:
        total += results.flip(axes)


def _is_numpy_faster(values: Tensor) -> bool:
    """Return True where NumPy, whose flips are views, does with one pass what takes torch a copy first."""
    return values.device.type == "cpu" and values.dtype == torch.float32 and not values.requires_grad


def _gaussian(width: int) -> Tensor:
    distances = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    return torch.exp(-0.5 * (distances / (_GAUSSIAN_SHARE * width)) ** 2)


def _pad(volume: Tensor, patch: Sequence[int]) -> tuple[Tensor, tuple[slice, ...]]:
    """Return the volume, padded with 0 where it is smaller than the patch, and its place in the padded one."""
    inner = [slice(None)]
    amounts: list[int] = []
    for size, width in zip(volume.shape[1:], patch, strict=True):
        missing = max(0, width - size)
        before = missing // 2
        inner.append(slice(before, before + size))
        amounts = [before, missing - before, *amounts]  # F.pad takes the last axis first
    if not any(amounts):
        return volume, tuple(inner)
    return F.pad(volume, amounts), tuple(inner)


def _windows(volume: Tensor, patch: Sequence[int], *, overlap: float, importance: Importance) -> list[Window]:
    axes = [
        window_spans(size, width, overlap=overlap, importance=importance, device=volume.device)
        for size, width in zip(volume.shape[1:], patch, strict=True)
    ]
    return list(itertools.product(*axes))


def _in_batches(windows: Sequence[Window], batch: int) -> list[Sequence[Window]]:
    return [windows[first : first + batch] for first in range(0, len(windows), batch)]


def _crop(volume: Tensor, windows: Sequence[Window]) -> Tensor:
    """Return (B, C, *patch) float32; a single window is not copied."""
    if len(windows) == 1:
        return volume[_index(windows[0])][None].float()
    return torch.stack([volume[_index(window)] for window in windows]).float()


def _add_weighted(
    sums: Tensor, results: Tensor, windows: Sequence[Window], *, share: float, buffer: Tensor
) -> None:
    """Add `share` times the weighted results (B, K, *patch) to the sums; `buffer` (*patch) is overwritten."""
    for window, result in zip(windows, results, strict=True):
        weights = _weights(window, out=buffer)
        sums[_index(window)].addcmul_(result, weights, value=share)


def _index(window: Window) -> tuple[slice, ...]:
    spans = [slice(span.start, span.start + len(span.weights)) for span in window]
    return (slice(None), *spans)


def _weights(window: Window, *, out: Tensor) -> Tensor:
    """Return the product (*patch) of the weights of all axes, written to `out`."""
    *others, last = (span.weights for span in window)
    product = others[0]
    for vector in others[1:]:
        product = product[..., None] * vector
    return torch.mul(product[..., None], last, out=out)


def _check_size(results: Tensor, patch: Sequence[int]) -> None:
    if results.shape[2:] != tuple(patch):
        returned = " x ".join(map(str, results.shape[2:]))
        expected = " x ".join(map(str, patch))
        raise IncompatibleError(
            f"sliding window: the network returned {returned} for a patch, expected {expected}"
        )
