"""Draws batches of slices from prepared cases, onto the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol as Interface

import torch
from torch import Tensor

from benchbench.engine.devices.distributed import Part
from benchbench.engine.preparation.prepare import PreparedCase

_RESIDENT_SHARE = 0.5  # of the free device memory; the rest is the network's


class Source(Interface):
    """Cases as numbered samples."""

    cases: tuple[PreparedCase, ...]
    device: torch.device

    def __len__(self) -> int: ...

    def batch(
        self, numbers: Tensor, *, generator: torch.Generator | None, part: Part | None = None
    ) -> tuple[Tensor, Tensor]:
        """Images (B, C, *patch) float32 and labels (B, *patch) uint8 bit masks, on the device.

        On a CPU the next batch may be written over this one. Patches are drawn from `generator`, on the CPU, for
        all `numbers`, of which a part may be wanted.
        """
        ...


class Slices:
    """The slices of some cases, numbered through; on a GPU they live there if they fit.

    On the CPU they stay in the memory-mapped cache: the system's page cache holds what is used.
    """

    def __init__(self, cases: Sequence[PreparedCase], *, device: torch.device) -> None:
        self.cases = tuple(cases)
        self.device = device
        self._images = [torch.from_numpy(case.image()) for case in cases]
        self._labels = [torch.from_numpy(case.label()) for case in cases]
        lengths = [len(label) for label in self._labels]
        self.case_of = torch.repeat_interleave(torch.arange(len(cases)), torch.tensor(lengths))
        self._slice_of = torch.cat([torch.arange(length) for length in lengths])
        self._resident = self._move() if fit_on((*self._images, *self._labels), device) else None

    def __len__(self) -> int:
        return len(self.case_of)

    def batch(
        self,
        numbers: Tensor,
        *,
        generator: torch.Generator | None = None,  # noqa: ARG002
        part: Part | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Images (B, C, *patch) float32 and labels (B, *patch) uint8 bit masks; nothing is drawn."""
        numbers = numbers if part is None else numbers[part.mine]
        if self._resident is not None:
            images, labels = self._resident
            chosen = numbers.to(self.device)
            return to_float(images[chosen]), labels[chosen]
        places = [(int(self.case_of[number]), int(self._slice_of[number])) for number in numbers]
        images = torch.stack([self._images[case][position] for case, position in places])
        labels = torch.stack([self._labels[case][position] for case, position in places])
        return to_float(images.to(self.device, non_blocking=True)), labels.to(self.device, non_blocking=True)

    def _move(self) -> tuple[Tensor, Tensor]:
        images = torch.cat([image.to(self.device) for image in self._images])
        return images, torch.cat([label.to(self.device) for label in self._labels])


def epoch_order(length: int, *, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Every sample once, shuffled, a batch at a time; the last batch may be smaller."""
    yield from torch.randperm(length, generator=generator).split(batch)


def in_order(length: int, *, batch: int) -> Iterator[Tensor]:
    """Every sample once, as numbered."""
    yield from torch.arange(length).split(batch)


def fit_on(arrays: Sequence[Tensor], device: torch.device) -> bool:
    """Whether arrays fit on a GPU beside the network; a CPU reads them from the cache."""
    if device.type != "cuda":
        return False
    size = sum(part.numel() * part.element_size() for part in arrays)
    return size < _RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]


def to_float(images: Tensor) -> Tensor:
    """8-bit images / 255, others as they are, in float32."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images.float()
