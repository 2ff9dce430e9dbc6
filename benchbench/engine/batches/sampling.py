"""Batches of slices from prepared cases, on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol as Interface

import numpy as np
import torch
from torch import Tensor

from benchbench.engine.batches.host_memory import stack_to
from benchbench.engine.batches.unlabelled import UnlabelledRegions
from benchbench.engine.devices.distributed import Part
from benchbench.engine.preparation.prepared_case import PreparedCase

_CPU = torch.device("cpu")
RESIDENT_SHARE = 0.5
"""Share of the free memory of a GPU that samples may take; the network needs the rest."""
_WITHOUT_GRADIENT = 4


class Source(Interface):
    """Prepared cases as numbered samples."""

    cases: tuple[PreparedCase, ...]
    device: torch.device
    resident_bytes: int
    """GPU memory of the samples that stay there for the whole training; 0 if none do."""

    @property
    def index_device(self) -> torch.device:
        """The device on which `batch` takes the numbers of its samples."""
        ...

    def __len__(self) -> int: ...

    def batch(
        self, numbers: Tensor, *, generator: torch.Generator | None, part: Part | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return images (B, C, *patch) float32 and labels (B, *patch) uint8 bit masks, on the device.

        On a CPU the next batch may overwrite this one. `generator`, on the CPU, draws patches for all `numbers`,
        also where only a `part` of them is returned.
        """
        ...

    def mark(self, labels: Tensor, numbers: Tensor, *, part: Part | None = None) -> Tensor:
        """Return the labels of these samples with the regions that their cases lack by declaration.

        Labels are marked after augmentation, which moves them; they stay as they are where no case lacks a region.
        """
        ...


class Slices:
    """The slices of some cases, in one numbering; they stay in GPU memory if they fit.

    On a CPU they stay in the memory-mapped cache: the page cache of the system holds those in use. `scored_only`
    leaves out slices of which every voxel is ignored, from which nothing can be learnt. With `context` the
    channels of so many slices before and after are channels too, and no slice stays in GPU memory. Nor do slices
    that take more than `resident_share` of the free GPU memory.
    """

    def __init__(
        self,
        cases: Sequence[PreparedCase],
        *,
        device: torch.device,
        scored_only: bool = False,
        context: int = 0,
        resident_share: float = RESIDENT_SHARE,
    ) -> None:
        self.cases = tuple(cases)
        self._unlabelled = UnlabelledRegions(cases)
        self._context = context
        self.device = device
        self._images = [torch.from_numpy(case.image()) for case in cases]
        self._labels = [torch.from_numpy(case.label()) for case in cases]
        positions = [
            _positions(case, len(label), scored_only) for case, label in zip(cases, self._labels, strict=True)
        ]
        lengths = [len(of_case) for of_case in positions]
        self.case_of = torch.repeat_interleave(torch.arange(len(cases)), torch.tensor(lengths))
        self._slice_of = torch.cat(positions)
        self._resident: tuple[Tensor, Tensor] | None = None
        if not context and fits_on((*self._images, *self._labels), device, resident_share):
            self._resident = self._copy_to_device()
        self.resident_bytes = bytes_of(self._resident or ())

    def __len__(self) -> int:
        return len(self.case_of)

    @property
    def index_device(self) -> torch.device:
        """The GPU if the slices are in its memory; otherwise the CPU, which collects them."""
        return _CPU if self._resident is None else self.device

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
        places = zip(self.case_of[numbers].tolist(), self._slice_of[numbers].tolist(), strict=True)
        for case, position in places:
            slice_images.append(with_neighbours(self._images[case], position, self._context))
            slice_labels.append(self._labels[case][position])
        return to_float(stack_to(self.device, slice_images)), stack_to(self.device, slice_labels)

    def mark(self, labels: Tensor, numbers: Tensor, *, part: Part | None = None) -> Tensor:
        """Return the labels of these samples with the regions that their cases lack by declaration."""
        if not self._unlabelled.exist:
            return labels
        if part is not None:
            numbers = numbers[part.samples]
        return self._unlabelled.mark(labels, self.case_of[numbers.cpu()])

    def sample(self, number: int) -> tuple[Tensor, Tensor]:
        """Return a slice (C, H, W) as stored and its bit masks (H, W), on the host."""
        case, position = self.case_of[number], int(self._slice_of[number])
        return with_neighbours(self._images[case], position, self._context), self._labels[case][position]

    def _copy_to_device(self) -> tuple[Tensor, Tensor]:
        """Fill one array each of images and labels case by case, so that no slice is on the GPU twice."""
        lengths = torch.bincount(self.case_of, minlength=len(self.cases)).tolist()
        images, labels = (
            torch.empty((len(self), *stacks[0].shape[1:]), dtype=stacks[0].dtype, device=self.device)
            for stacks in (self._images, self._labels)
        )
        first = 0
        for case, positions in enumerate(self._slice_of.split(lengths)):
            last = first + len(positions)
            is_whole = len(positions) == len(self._labels[case])
            for target, stacks in ((images, self._images), (labels, self._labels)):
                target[first:last].copy_(stacks[case] if is_whole else stacks[case][positions])
            first = last
        return images, labels


def with_neighbours(stack: Tensor, position: int, context: int) -> Tensor:
    """Return a slice of a stack (S, C, H, W) with so many slices before and after it: ((2 context + 1) C, H, W).

    The first and the last slice are repeated beyond the ends.
    """
    if not context:
        return stack[position]
    offsets = torch.arange(-context, context + 1)
    return stack[(position + offsets).clamp(0, len(stack) - 1)].flatten(0, 1)


def _positions(case: PreparedCase, length: int, scored_only: bool) -> Tensor:
    """Return the positions in its stack of the slices of a case that are samples."""
    scored = case.scored() if scored_only else None
    if scored is None:
        return torch.arange(length)
    return torch.from_numpy(scored.astype(np.int64))


def shuffled_batches(
    length: int, *, batch: int, generator: torch.Generator, processes: int = 1, device: torch.device = _CPU
) -> Iterator[Tensor]:
    """Yield the numbers of all samples once, in random order, by batches of `batch_sizes`.

    The order is drawn on the CPU and copied to the device once: a copy for each batch would make the CPU wait for
    the GPU in every step.
    """
    sizes = batch_sizes(length, batch=batch, processes=processes)
    yield from torch.randperm(length, generator=generator).to(device).split(sizes)


def batch_sizes(length: int, *, batch: int, processes: int = 1) -> list[int]:
    """Return the sizes of the batches of an epoch.

    The last batch may be smaller. If it has one sample, or too few to give two to each process where full batches
    do, it is merged into the batch before: batch normalisation has no statistics of a single pixel.
    """
    sizes = [batch] * (length // batch)
    rest = length % batch
    least = 2 * processes if batch >= 2 * processes else min(batch, 2)
    if not rest:
        return sizes
    if rest >= least or not sizes:
        sizes.append(rest)
    else:
        sizes[-1] += rest
    return sizes


def ordered_batches(length: int, *, batch: int, device: torch.device = _CPU) -> Iterator[Tensor]:
    """Yield the numbers of all samples once, in their order, by batches; the last batch may be smaller."""
    yield from torch.arange(length, device=device).split(batch)


def samples_without_gradient(batch: int, device: torch.device) -> int:
    """Return how many samples a network gets at a time where it keeps nothing for a gradient.

    On a GPU, four times the batch of the training: it fills the GPU better, and takes less memory than a step. A
    CPU gains nothing. The number depends on no free memory, which would change sums by rounding.
    """
    return _WITHOUT_GRADIENT * batch if device.type == "cuda" else batch


def windows_at_once(batch: int, device: torch.device) -> int:
    """Return how many windows of an image a network gets at a time: one on a CPU, a batch of training on a GPU.

    Windows on a GPU are copied into a batch, and take more memory; larger batches would gain little.
    """
    return batch if device.type == "cuda" else 1


def fits_on(arrays: Sequence[Tensor], device: torch.device, share: float) -> bool:
    """Return True where arrays take less than a share of the free memory of a GPU; a CPU reads from the cache."""
    if device.type != "cuda":
        return False
    return bytes_of(arrays) < share * torch.cuda.mem_get_info(device)[0]


def bytes_of(arrays: Sequence[Tensor]) -> int:
    return sum(array.numel() * array.element_size() for array in arrays)


def to_float(images: Tensor) -> Tensor:
    """Return images as float32, those of 8 bits divided by 255."""
    if images.dtype == torch.uint8:
        return images.float().div_(255)
    return images.float()
