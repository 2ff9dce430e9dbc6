"""Sliding window: a volume of any size through a network that sees a patch.

Windows form a grid, so that a window's weights are a product of one vector an axis. Along each axis the weights
of all windows over a place add up to 1 beforehand: what the network gives is multiplied and added, and nothing is
counted or divided afterwards.

Source: the Gaussian importance of Isensee et al. 2021 (nnU-Net), doi:10.1038/s41592-020-01008-z.
Differs: sums are float32, not float16, whose rounding shows in the result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812 torch's own name for it
from torch import Tensor

from benchbench.errors import IncompatibleError

Importance = Literal["gaussian", "constant"]
"""How much a voxel counts: by a Gaussian about its window's centre, 1/8 of the patch wide, or all the same."""

_WIDTH = 1 / 8


class Span(NamedTuple):
    """One window along one axis."""

    start: int
    weights: Tensor
    """(width,) float32."""


Window = tuple[Span, ...]
"""A span an axis."""


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
    out: Tensor | None = None,
) -> Tensor:
    """What `predict` gives for a volume (C, *space), averaged over windows: (K, *space) float32, on its device.

    `predict` maps (B, C, *patch) float32, not always contiguous, to (B, K, *patch) of any precision. A volume
    smaller than the patch is padded with zeros on both sides and the result cropped back. With `flips` a window's
    result is the mean over all 2^n mirror images of it, each mirrored back. `out`, (K, *space) float32, is
    overwritten and returned: a buffer kept from case to case saves a CPU much of the time.

    Memory beside the volume and what `predict` takes for a batch: 4 K bytes a voxel for the result, 4 bytes for
    each voxel of one patch for the weights and up to 4 (C + 3 K) for each voxel of a batch of patches; a padded
    volume is there once more, and its result too where `out` is given. It does not grow with the windows' number.

    Raises:
        IncompatibleError: `predict` gives another size than that of the patch.
    """
    padded, inner = _pad(volume, patch)
    axes = [
        lay_spans(size, width, overlap=overlap, importance=importance, device=volume.device)
        for size, width in zip(padded.shape[1:], patch, strict=True)
    ]
    share = 0.5 ** len(patch) if flips else 1.0
    weights = torch.empty(*patch, device=volume.device)
    sums: Tensor | None = None
    for windows in _in_batches(list(itertools.product(*axes)), batch):
        images = _cut(padded, windows)
        results = sum_mirrored(predict, images) if flips else predict(images)
        _check_size(results, patch)
        if sums is None:
            sums = _zeros(results.shape[1], padded, out if padded is volume else None)
        for window, result in zip(windows, results, strict=True):
            sums[_place(window)].addcmul_(result, _weigh(window, weights), value=share)
        # else they would take memory while the next are computed
        del images, results, result
    assert sums is not None, "a volume has at least one window"
    if padded is volume:
        return sums
    return sums[inner] if out is None else out.copy_(sums[inner])


def lay_spans(
    size: int,
    width: int,
    *,
    overlap: float,
    importance: Importance = "gaussian",
    device: torch.device | str = "cpu",
) -> list[Span]:
    """The windows along an axis of `size` voxels, at least `width` of them; their weights add up to 1 everywhere.

    The first begins at 0 and the last ends at `size`. There are as few as let neighbours share at least `overlap`
    of the width, rounded up to voxels but never the whole width, and they are spread evenly, to a voxel.
    """
    stride = max(1, width - math.ceil(round(width * overlap, 6)))
    gaps = math.ceil((size - width) / stride)
    starts = [round(number * (size - width) / gaps) for number in range(gaps + 1)] if gaps else [0]
    bell = _bell(width) if importance == "gaussian" else torch.ones(width, dtype=torch.float64)
    totals = torch.zeros(size, dtype=torch.float64)
    for start in starts:
        totals[start : start + width] += bell
    return [Span(start, (bell / totals[start : start + width]).float().to(device)) for start in starts]


def count_windows(space: Sequence[int], patch: Sequence[int], *, overlap: float) -> int:
    """How many windows a volume of this size is seen through."""
    sizes = zip(space, patch, strict=True)
    return math.prod(len(lay_spans(max(size, width), width, overlap=overlap)) for size, width in sizes)


def _bell(width: int) -> Tensor:
    places = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    return torch.exp(-0.5 * (places / (_WIDTH * width)) ** 2)


def _pad(volume: Tensor, patch: Sequence[int]) -> tuple[Tensor, tuple[slice, ...]]:
    """The volume, with zeros around it where it is smaller than the patch, and where in it the volume is."""
    sizes = list(zip(volume.shape[1:], patch, strict=True))
    before = [max(0, width - size) // 2 for size, width in sizes]
    after = [max(0, width - size) - first for (size, width), first in zip(sizes, before, strict=True)]
    inner = (slice(None), *(slice(first, first + size) for (size, _), first in zip(sizes, before, strict=True)))
    if not any(after):
        return volume, inner
    amounts = [amount for pair in zip(reversed(before), reversed(after), strict=True) for amount in pair]
    return F.pad(volume, amounts), inner


def _in_batches(windows: Sequence[Window], batch: int) -> list[Sequence[Window]]:
    return [windows[first : first + batch] for first in range(0, len(windows), batch)]


def _cut(volume: Tensor, windows: Sequence[Window]) -> Tensor:
    """(B, C, *patch) float32; one window alone is not copied."""
    if len(windows) == 1:
        return volume[_place(windows[0])][None].float()
    return torch.stack([volume[_place(window)] for window in windows]).float()


def _place(window: Window) -> tuple[slice, ...]:
    return (slice(None), *(slice(span.start, span.start + len(span.weights)) for span in window))


def _weigh(window: Window, out: Tensor) -> Tensor:
    """(*patch) product of the weights of all axes, written to `out`."""
    *others, last = (span.weights for span in window)
    product = others[0]
    for vector in others[1:]:
        product = product[..., None] * vector
    return torch.mul(product[..., None], last, out=out)


def sum_mirrored(predict: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The sum over all mirror images of (B, C, *patch) of what `predict` gives, mirrored back."""
    axes = range(2, images.ndim)
    first, *others = (mirror for count in (1, 2, 3) for mirror in itertools.combinations(axes, count))
    # what is added to is a copy that flip made: a result of `predict` may be a view of the volume
    total = predict(images.flip(first)).flip(first).float()
    for mirror in others:
        total += predict(images.flip(mirror)).flip(mirror)
    return total.add_(predict(images))


def _check_size(results: Tensor, patch: Sequence[int]) -> None:
    if results.shape[2:] != tuple(patch):
        found, expected = (" x ".join(str(width) for width in size) for size in (results.shape[2:], patch))
        raise IncompatibleError(f"sliding window: the network gives {found} for a patch, expected {expected}")


def _zeros(regions: int, volume: Tensor, out: Tensor | None) -> Tensor:
    """(K, *space) of 0, in `out` if there is one."""
    if out is None:
        return torch.zeros(regions, *volume.shape[1:], device=volume.device)
    assert out.shape == (regions, *volume.shape[1:]), f"out is {tuple(out.shape)}"
    return out.zero_()
