"""Batches of slices from prepared cases, on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol as Interface

import torch
from torch import Tensor

from benchbench.engine.devices.distributed import Part
from benchbench.engine.preparation.prepared_case import PreparedCase

_RESIDENT_SHARE = 0.5  # of the free device memory; the network needs the rest


class Source(Interface):
    """Prepared cases as numbered samples."""

    cases: tuple[PreparedCase, ...]
    device: torch.device

    def __len__(self) -> int: ...

    def batch(
        self, numbers: Tensor, *, generator: torch.Generator | None, part: Part | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return images (B, C, *patch) float32 and labels (B, *patch) uint8 bit masks, on the device.

        On a CPU the next batch may overwrite this one. `generator`, on the CPU, draws patches for all `numbers`,
        also where only a `part` of them is returned.
        """
        ...


class Slices:
    """The slices of some cases, in one numbering; they stay in GPU memory if they fit.

    On a CPU they stay in the memory-mapped cache: the page cache of the system holds those in use.
    """

    def __init__(self, cases: Sequence[PreparedCase], *, device: torch.device) -> None:
        self.cases = tuple(cases)
        self.device = device
        self._images = [torch.from_numpy(case.image()) for case in cases]
        self._labels = [torch.from_numpy(case.label()) for case in cases]
        lengths = [len(label) for label in self._labels]
        self.case_of = torch.repeat_interleave(torch.arange(len(cases)), torch.tensor(lengths))
        self._slice_of = torch.cat([torch.arange(length) for length in lengths])
        self._resident: tuple[Tensor, Tensor] | None = None
        if fits_on((*self._images, *self._labels), device):
            self._resident = self._copy_to_device()

    def __len__(self) -> int:
        return len(self.case_of)

    def batch(
        self,
        numbers: Tensor,
        *,
        generator: torch.Generator | None = None,  # noqa: ARG002
        part: Part | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return images (B, C, *patch) float32 and labels (B, *patch) uint8 bit masks; nothing is drawn."""
        if part is not None:
            numbers = numbers[part.samples]
        if self._resident is not None:
            images, labels = self._resident
            index = numbers.to(self.device)
            return to_float(images[index]), labels[index]
        slice_images, slice_labels = [], []
        for number in numbers.tolist():
            case, position = self.case_of[number], self._slice_of[number]
            slice_images.append(self._images[case][position])
            slice_labels.append(self._labels[case][position])
        images = torch.stack(slice_images).to(self.device, non_blocking=True)
        labels = torch.stack(slice_labels).to(self.device, non_blocking=True)
        return to_float(images), labels

    def _copy_to_device(self) -> tuple[Tensor, Tensor]:
        images = torch.cat([image.to(self.device) for image in self._images])
        labels = torch.cat([label.to(self.device) for label in self._labels])
        return images, labels


def shuffled_batches(length: int, *, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the numbers of all samples once, in random order, by batches; the last batch may be smaller."""
    yield from torch.randperm(length, generator=generator).split(batch)


def ordered_batches(length: int, *, batch: int) -> Iterator[Tensor]:
    """Yield the numbers of all samples once, in their order, by batches; the last batch may be smaller."""
    yield from torch.arange(length).split(batch)


def fits_on(arrays: Sequence[Tensor], device: torch.device) -> bool:
    """Return True where arrays fit on a GPU together with the network; a CPU reads them from the cache."""
    if device.type != "cuda":
        return False
    size = sum(array.numel() * array.element_size() for array in arrays)
    return size < _RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]


def to_float(images: Tensor) -> Tensor:
    """Return images as float32, those of 8 bits divided by 255."""
    if images.dtype == torch.uint8:
        return images.float().div_(255)
    return images.float()
