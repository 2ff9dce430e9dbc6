"""Batches of random crops of slices that are larger than the patch, and the choice of a place for a crop."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchbench.engine.batches.host_memory import stack_to
from benchbench.engine.batches.sampling import Slices, to_float
from benchbench.engine.devices.distributed import Part, whole_batch
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.images.arrays import IGNORED
from benchbench.spec.protocol import Protocol


class SliceCrops:
    """One random crop of every slice per epoch; slices stay in the memory-mapped cache."""

    def __init__(
        self, cases: Sequence[PreparedCase], protocol: Protocol, *, device: torch.device, scored_only: bool
    ) -> None:
        self.cases = tuple(cases)
        self.device = device
        self.index_device = torch.device("cpu")  # slices are collected there
        self._patch = protocol.patch
        self._oversample = protocol.oversample_foreground
        self.resident_bytes = 0
        # on the host: only the crops of a batch are copied to the device
        self._slices = Slices(cases, device=torch.device("cpu"), scored_only=scored_only, context=protocol.context)

    def __len__(self) -> int:
        return len(self._slices)

    def batch(
        self, numbers: Tensor, *, generator: torch.Generator | None, part: Part | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return images (B, C, *patch) float32 and labels (B, *patch) uint8, 0 beyond the border of a slice."""
        samples = (part or whole_batch(len(numbers))).samples
        # every sample takes the same count of random numbers, so that parts of a batch draw what the whole draws
        draws = torch.rand(len(numbers), 4, generator=generator, dtype=torch.float64)[samples]
        images, labels = [], []
        for number, draw in zip(numbers[samples].tolist(), draws.tolist(), strict=True):
            image, label = self._slices.sample(number)
            corner = self._draw_corner(label, draw)
            crop = image.new_empty(len(image), *self._patch)
            crop_label = label.new_empty(self._patch)
            crop_patch(image, corner, out=crop)
            crop_patch(label[None], corner, out=crop_label[None])
            images.append(crop)
            labels.append(crop_label)
        return to_float(stack_to(self.device, images)), stack_to(self.device, labels)

    def mark(self, labels: Tensor, numbers: Tensor, *, part: Part | None = None) -> Tensor:
        """Return the labels of these samples with the regions that their cases lack by declaration."""
        return self._slices.mark(labels, numbers, part=part)

    def _draw_corner(self, label: Tensor, draw: Sequence[float]) -> list[int]:
        """Return the first pixel of a crop of a slice with bit masks (H, W), for four numbers in [0, 1).

        An oversampled crop contains a drawn labelled pixel, where there is one; any other one of a slice with
        ignored pixels contains a drawn pixel that is not ignored.
        """
        oversampled, which, *shares = draw
        contained: list[int] | None = None
        candidates: Tensor | None = None
        if oversampled < self._oversample:
            candidates = ((label > 0) & (label != IGNORED)).nonzero()
        if (candidates is None or not len(candidates)) and bool((label == IGNORED).any()):
            candidates = (label != IGNORED).nonzero()
        if candidates is not None and len(candidates):
            contained = candidates[int(which * len(candidates))].tolist()
        corner = []
        for axis, (size, side) in enumerate(zip(label.shape, self._patch, strict=True)):
            inside = contained[axis] if contained else None
            corner.append(draw_axis(size, side, shares[axis], contained=inside))
        return corner


def draw_axis(size: int, side: int, share: float, *, contained: int | None) -> int:
    """Return the first index of a part of length `side` along an axis, for a number in [0, 1).

    The part is inside the axis and has the index `contained`, if there is one. An axis that is shorter than the
    part is centred in it.
    """
    low, high = 0, size - side
    if high < 0:
        return -(-high // 2)
    if contained is not None and high > 0:
        low = max(low, contained - side + 1)
        high = min(high, contained)
    return low + int(share * (high - low + 1))


def crop_patch(volume: Tensor, corner: Sequence[int], *, out: Tensor) -> None:
    """Copy the part of (C, *space) that begins at `corner` to `out` (C, *patch), with 0 beyond the border."""
    source, target = [slice(None)], [slice(None)]
    for begin, size, side in zip(corner, volume.shape[1:], out.shape[1:], strict=True):
        first, last = max(begin, 0), min(begin + side, size)
        source.append(slice(first, last))
        target.append(slice(first - begin, last - begin))
    inside = out[tuple(target)]
    if inside.shape != out.shape:
        out.zero_()
    inside.copy_(volume[tuple(source)], non_blocking=True)
