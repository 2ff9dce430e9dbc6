"""Batches of random patches from prepared volumes, on the device.

MONAI and TorchIO crop patches too, but took 6 and 13 times as long on a CPU: they allocate memory for every patch,
which costs more than the copy of its voxels. Here all batches are written to one buffer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from benchbench.engine.batches.crops import SliceCrops, crop_patch, draw_axis
from benchbench.engine.batches.host_memory import empty_for_copies
from benchbench.engine.batches.sampling import RESIDENT_SHARE, Slices, Source, bytes_of, fits_on, to_float
from benchbench.engine.batches.unlabelled import UnlabelledRegions
from benchbench.engine.devices.distributed import Part, whole_batch
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.spec.protocol import Protocol


def open_source(
    cases: Sequence[PreparedCase],
    protocol: Protocol,
    *,
    device: torch.device,
    scored_only: bool = False,
    resident_share: float = RESIDENT_SHARE,
) -> Source:
    """Return the samples that a protocol takes from cases: slices in 2D, patches in 3D.

    `scored_only` leaves out slices of which every voxel is ignored. The cases stay in GPU memory if they take less
    than `resident_share` of what is free.
    """
    if protocol.ndim == 2 and protocol.resize == "spacing":
        return SliceCrops(cases, protocol, device=device, scored_only=scored_only)
    if protocol.ndim == 2:
        return Slices(
            cases,
            device=device,
            scored_only=scored_only,
            context=protocol.context,
            resident_share=resident_share,
        )
    return Patches(cases, protocol, device=device, resident_share=resident_share)


class Patches:
    """Random patches of volumes, `patches_per_case` of each per epoch; volumes stay in GPU memory if they fit."""

    def __init__(
        self,
        cases: Sequence[PreparedCase],
        protocol: Protocol,
        *,
        device: torch.device,
        resident_share: float = RESIDENT_SHARE,
    ) -> None:
        self.cases = tuple(cases)
        self._unlabelled = UnlabelledRegions(cases)
        self.device = device
        self.index_device = torch.device("cpu")  # the corners of patches are drawn there
        self._patch = protocol.patch
        self._oversample = protocol.oversample_foreground
        self._patches_per_case = protocol.patches_per_case
        images = [torch.from_numpy(case.image()) for case in cases]
        labels = [torch.from_numpy(case.label()) for case in cases]
        self.resident_bytes = 0
        if fits_on((*images, *labels), device, resident_share):
            self.resident_bytes = bytes_of((*images, *labels))
            images = [image.to(device) for image in images]
            labels = [label.to(device) for label in labels]
        self._images = images
        self._labels = labels
        self._scored = [case.scored() for case in cases]
        self._foreground = [torch.from_numpy(case.foreground()) for case in cases]
        self._buffers: dict[torch.dtype, Tensor] = {}

    def __len__(self) -> int:
        return len(self.cases) * self._patches_per_case

    def batch(
        self, numbers: Tensor, *, generator: torch.Generator | None, part: Part | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return images (B, C, *patch) float32 and labels (B, *patch) uint8, 0 beyond the border of a volume."""
        samples = (part or whole_batch(len(numbers))).samples
        cases = [number % len(self.cases) for number in numbers[samples].tolist()]
        # every sample takes the same count of random numbers, so that parts of a batch draw what the whole draws
        draws = torch.rand(len(numbers), 5, generator=generator, dtype=torch.float64)[samples]
        channels = self._images[0].shape[0]
        is_copied = self.device.type != "cpu" and not self.resident_bytes
        if is_copied:  # in the stored type, which is smaller than float32
            images = self._empty_for_copies(len(cases), channels, dtype=self._images[0].dtype)
            labels = self._empty_for_copies(len(cases), dtype=torch.uint8)
        else:
            images = self._buffer(len(cases), channels, dtype=torch.float32)
            labels = self._buffer(len(cases), dtype=torch.uint8)
        for image, label, case, draw in zip(images, labels, cases, draws.tolist(), strict=True):
            corner = self._draw_corner(case, draw)
            crop_patch(self._images[case], corner, out=image)
            crop_patch(self._labels[case][None], corner, out=label[None])
        if is_copied:
            images = images.to(self.device, non_blocking=True)
            return to_float(images), labels.to(self.device, non_blocking=True)
        if self._images[0].dtype == torch.uint8:
            images.div_(255)
        return images, labels

    def volume(self, number: int) -> tuple[Tensor, Tensor]:
        """Return image (C, *space) and bit masks (*space) of a case as stored; on the GPU if they stay there."""
        return self._images[number], self._labels[number]

    def mark(self, labels: Tensor, numbers: Tensor, *, part: Part | None = None) -> Tensor:
        """Return the labels of these samples with the regions that their cases lack by declaration."""
        samples = (part or whole_batch(len(numbers))).samples
        return self._unlabelled.mark(labels, numbers[samples] % len(self.cases))

    def _draw_corner(self, case: int, draw: Sequence[float]) -> list[int]:
        """Return the first voxel of a patch for five random numbers in [0, 1).

        The patch is inside the volume; an oversampled one also contains a drawn labelled voxel, and any other one
        of a case with ignored voxels a drawn voxel that is not ignored. A volume smaller than the patch is centred
        in it.
        """
        oversampled, which, *shares = draw
        labelled, scored = self._foreground[case], self._scored[case]
        contained: list[int] | None = None
        if oversampled < self._oversample and len(labelled):
            contained = labelled[int(which * len(labelled))].tolist()
        elif scored is not None and len(scored):
            contained = scored[int(which * len(scored))].tolist()
        corner = []
        for axis, (size, side) in enumerate(zip(self._images[case].shape[1:], self._patch, strict=True)):
            inside = contained[axis] if contained else None
            corner.append(draw_axis(size, side, shares[axis], contained=inside))
        return corner

    def _empty_for_copies(self, *lead: int, dtype: torch.dtype) -> Tensor:
        return empty_for_copies((*lead, *self._patch), dtype, self.device)

    def _buffer(self, *lead: int, dtype: torch.dtype) -> Tensor:
        """Return uninitialised memory (*lead, *patch); on a CPU the same one for every batch."""
        shape = (*lead, *self._patch)
        if self.device.type != "cpu":
            return torch.empty(shape, dtype=dtype, device=self.device)
        buffer = self._buffers.get(dtype)
        if buffer is None or len(buffer) < lead[0]:
            buffer = self._buffers[dtype] = torch.empty(shape, dtype=dtype)
        return buffer[: lead[0]]
