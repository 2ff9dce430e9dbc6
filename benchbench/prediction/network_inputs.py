"""Inputs of a network: those of an image, prepared as in its run, or random numbers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchbench.contract import CaseRef, Geometry
from benchbench.engine.batches.sampling import Slices, to_float
from benchbench.engine.inference.window_buffer import WindowBuffer, load_volume
from benchbench.engine.preparation.prepare import write_prepared
from benchbench.engine.preparation.prepared_case import PreparedCase
from benchbench.prediction.predict import load_one_image
from benchbench.prediction.trained import Trained

_MOST_SLICES = 8


class NetworkInput(NamedTuple):
    """Images (B, C, *patch) that a network takes."""

    images: Tensor
    described: str
    """Their origin in words."""


def random_input(geometry: Geometry) -> NetworkInput:
    """Return two images of standard normal numbers, or one volume."""
    count = 2 if len(geometry.patch) == 2 else 1
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, geometry.in_channels, *geometry.patch, generator=generator)
    return NetworkInput(images, "random numbers")


def input_of_image(paths: list[Path], trained: Trained, geometry: Geometry) -> NetworkInput:
    """Return slices around the middle of an image, or the patch in its middle, prepared as in the run.

    Raises:
        BenchbenchError: the files are not those of one image that the network takes.
    """
    chosen, case = load_one_image(paths, trained)
    (statistics,) = trained.predictors
    cpu = torch.device("cpu")
    with tempfile.TemporaryDirectory(prefix="benchbench-") as scratch:
        folder = Path(scratch) / "case"
        write_prepared(case, trained.task, trained.protocol, folder, statistics=statistics)
        prepared = PreparedCase(CaseRef(chosen.id, chosen.id), folder)
        if len(geometry.patch) == 2:
            slices = Slices([prepared], device=cpu, context=trained.protocol.context)
            first = max(0, (len(slices) - _MOST_SLICES) // 2)
            numbers = torch.arange(first, min(len(slices), first + _MOST_SLICES))
            images = slices.batch(numbers)[0].clone()
        else:
            images = to_float(load_volume(prepared, WindowBuffer(), device=cpu))[None].clone()
    return NetworkInput(_centred(images, geometry.patch), f"image {chosen.id}")


def _centred(images: Tensor, patch: tuple[int, ...]) -> Tensor:
    """Return the middle of images (B, C, *space) in the size of the patch, with zeros around smaller ones."""
    result = images.new_zeros(*images.shape[:2], *patch)
    sources: list[slice] = [slice(None), slice(None)]
    targets: list[slice] = [slice(None), slice(None)]
    for size, side in zip(images.shape[2:], patch, strict=True):
        length = min(size, side)
        sources.append(slice((size - length) // 2, (size - length) // 2 + length))
        targets.append(slice((side - length) // 2, (side - length) // 2 + length))
    result[tuple(targets)] = images[tuple(sources)]
    return result
