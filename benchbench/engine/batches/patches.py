"""Draws batches of patches from prepared volumes, onto the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchbench.engine.batches.sampling import Slices, Source, fit_on
from benchbench.engine.devices.distributed import Part, whole
from benchbench.engine.preparation.prepare import PreparedCase
from benchbench.spec.protocol import Protocol


def open_source(cases: Sequence[PreparedCase], protocol: Protocol, *, device: torch.device) -> Source:
    """The cases as the protocol cuts them: slices in 2D, patches in 3D."""
    return Slices(cases, device=device) if protocol.ndim == 2 else Patches(cases, protocol, device=device)


class Patches:
    """Patches of volumes, `patches_per_case` of each an epoch; on a GPU the volumes live there if they fit."""

    def __init__(self, cases: Sequence[PreparedCase], protocol: Protocol, *, device: torch.device) -> None:
        self.cases = tuple(cases)
        self.device = device
        self._patch = protocol.patch
        self._oversample = protocol.oversample_foreground
        self._per_case = protocol.patches_per_case
        images = [torch.from_numpy(case.image()) for case in cases]
        labels = [torch.from_numpy(case.label()) for case in cases]
        is_resident = fit_on((*images, *labels), device)
        self._images = [image.to(device) for image in images] if is_resident else images
        self._labels = [label.to(device) for label in labels] if is_resident else labels
        self._foreground = [torch.from_numpy(case.foreground()) for case in cases]
        self._buffers: dict[torch.dtype, Tensor] = {}

    def __len__(self) -> int:
        return len(self.cases) * self._per_case

    def batch(
        self, numbers: Tensor, *, generator: torch.Generator | None, part: Part | None = None
    ) -> tuple[Tensor, Tensor]:
        """Images (B, C, *patch) float32 and labels (B, *patch) uint8 bit masks, zeros beyond a volume's border."""
        mine = (part or whole(len(numbers))).mine
        chosen = [number % len(self.cases) for number in numbers[mine].tolist()]
        # as many for every sample
        draws = torch.rand(len(numbers), 5, generator=generator, dtype=torch.float64)[mine]
        images = self._buffer(len(chosen), self._images[0].shape[0], dtype=torch.float32)
        labels = self._buffer(len(chosen), dtype=torch.uint8)
        for image, label, case, draw in zip(images, labels, chosen, draws.tolist(), strict=True):
            corner = self._corner(case, draw)
            cut(self._images[case], corner, out=image)
            cut(self._labels[case][None], corner, out=label[None])
        if self._images[0].dtype == torch.uint8:
            images.div_(255)
        return images, labels

    def _corner(self, case: int, draw: Sequence[float]) -> list[int]:
        """Where a patch begins: anywhere that it is inside; oversampled, where it holds a certain labelled voxel.

        A volume smaller than the patch lies in the middle of it.
        """
        oversampled, which, *shares = draw
        places = self._foreground[case]
        held = (
            places[int(which * len(places))].tolist() if oversampled < self._oversample and len(places) else None
        )
        corner = []
        for axis, (size, side) in enumerate(zip(self._images[case].shape[1:], self._patch, strict=True)):
            low, high = 0, size - side
            if held and high > 0:
                low, high = max(low, held[axis] - side + 1), min(high, held[axis])
            corner.append(low + int(shares[axis] * (high - low + 1)) if high >= 0 else -(-high // 2))
        return corner

    def _buffer(self, *lead: int, dtype: torch.dtype) -> Tensor:
        """On a CPU one piece of memory serves every batch: new pages cost more than what is written to them."""
        shape = (*lead, *self._patch)
        if self.device.type != "cpu":
            return torch.empty(shape, dtype=dtype, device=self.device)
        kept = self._buffers.get(dtype)
        if kept is None or len(kept) < lead[0]:
            kept = self._buffers[dtype] = torch.empty(shape, dtype=dtype)
        return kept[: lead[0]]


def cut(volume: Tensor, corner: Sequence[int], *, out: Tensor) -> None:
    """Copies the part of (C, *space) that begins at `corner` to `out` (C, *patch), zeros beyond the border."""
    source, target = [slice(None)], [slice(None)]
    for begin, size, side in zip(corner, volume.shape[1:], out.shape[1:], strict=True):
        first, last = max(begin, 0), min(begin + side, size)
        source.append(slice(first, last))
        target.append(slice(first - begin, last - begin))
    inside = out[tuple(target)]
    if inside.shape != out.shape:
        out.zero_()
    inside.copy_(volume[tuple(source)], non_blocking=True)
