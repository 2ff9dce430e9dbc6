"""Images on which a bundle and its run are compared: that of a user, or one of random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import tifffile
from numpy.typing import NDArray

from benchbench.contract import Case
from benchbench.errors import UsageError
from benchbench.images.arrays import Floats
from benchbench.prediction.predict import load_one_image
from benchbench.prediction.trained import Trained

_LARGER = 1.25  # side of a random volume in units of the patch: there is more than one window


@dataclass(frozen=True, kw_only=True)
class Example:
    """An image, decoded and as the files that a bundle reads."""

    name: str
    """Its name in messages."""
    case: Case
    files: tuple[Path, ...]
    """A file for each channel, or one for all."""

    @property
    def is_8_bit(self) -> bool:
        """True if its values have 8 bits."""
        return self.case.image.dtype == np.uint8


def example_of_image(paths: list[Path], trained: Trained, scratch: Path) -> Example:
    """Return the image in some files; a volume is written again, with its channels in the order of the task.

    Raises:
        BenchbenchError: the files are not those of one image that the network takes.
    """
    chosen, case = load_one_image(paths, trained)
    if trained.protocol.ndim == 3:
        return Example(name=f"image {chosen.id}", case=case, files=_write_volume(case, scratch))
    if case.label.ndim == 3 and len(case.label) > 1:
        raise UsageError(
            f"--image: found {len(case.label)} slices, expected one: a bundle predicts a slice at a time; give one"
            " file"
        )
    files = chosen.files if len(chosen.files) == 1 else _write_planes(case, scratch)
    return Example(name=f"image {chosen.id}", case=case, files=files)


def random_example(trained: Trained, scratch: Path) -> Example:
    """Return an image of random numbers: an 8-bit slice that fits the patch, or a volume with zeros around it."""
    channels = len(trained.task.channels)
    generator = np.random.default_rng(0)
    if trained.protocol.ndim == 2:
        height, width = trained.protocol.patch
        image = generator.integers(0, 256, (channels, height, width * 3 // 4)).astype(np.uint8)
        case = _case(image, None, None)
        return Example(name="random numbers", case=case, files=_write_planes(case, scratch))
    spacing = _usual_spacing(trained)
    affine = np.diag([-spacing[2], spacing[1], spacing[0], 1.0])  # to the left, to the front, upwards
    size = [round(_LARGER * side) for side in reversed(trained.protocol.patch)]
    volume = _random_values(trained, (channels, *size), generator)
    for axis in (1, 2, 3):
        np.moveaxis(volume, axis, 0)[[0, -1]] = 0
    case = _case(volume, affine, (spacing[2], spacing[1], spacing[0]))
    return Example(name="random numbers", case=case, files=_write_volume(case, scratch))


def _case(image: NDArray[np.generic], affine: Floats | None, spacing_mm: tuple[float, ...] | None) -> Case:
    label = np.zeros(image.shape[1:], np.uint8)
    return Case(image=image, label=label, affine=affine, spacing_mm=spacing_mm)


def _usual_spacing(trained: Trained) -> tuple[float, float, float]:
    """Return the voxel size (superior, anterior, right) in the middle of those of the training images."""
    facts = trained.image_facts
    if not facts or facts["least_mm"] is None:
        return (1.0, 1.0, 1.0)
    low, high = np.array(facts["least_mm"]), np.array(facts["most_mm"])
    superior, anterior, right = ((low + high) / 2).tolist()
    return (superior, anterior, right)


def _random_values(trained: Trained, shape: tuple[int, ...], generator: np.random.Generator) -> NDArray[np.int16]:
    (statistics,) = trained.predictors
    mean, sd = 300.0, 100.0
    if statistics.intensities:
        mean, sd = statistics.intensities[0].mean, statistics.intensities[0].sd
    return generator.normal(mean, sd, shape).round().astype(np.int16)


def _write_volume(case: Case, scratch: Path) -> tuple[Path, ...]:
    if case.affine is None:
        raise UsageError("--image: found no orientation, by which MONAI turns volumes; give a NIfTI file")
    files = []
    for number, channel in enumerate(case.image):
        path = scratch / f"image_{number:04}.nii.gz"
        nib.save(nib.Nifti1Image(channel, case.affine), path)
        files.append(path)
    return tuple(files)


def _write_planes(case: Case, scratch: Path) -> tuple[Path, ...]:
    files = []
    for number, channel in enumerate(case.image):
        path = scratch / f"image_{number:04}.tif"
        tifffile.imwrite(path, np.ascontiguousarray(channel.reshape(case.label.shape[-2:])))
        files.append(path)
    return tuple(files)
