"""Reads the voxels of own images and masks; the slices of a case are stacked along the first axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchbench import Case, DataError
from benchbench.images.arrays import Floats
from benchbench.images.fusion import MAJORITY, STAPLE, fuse_labels
from benchbench.images.image_files import check_place, check_shape, read_image_file, read_image_files
from benchbench.images.input_files import FileFault
from benchbench.images.label_maps import LabelMap, read_label_map
from benchbench_datasets.folder_masks import Labels, RegionMasks, ValueMasks


class Voxels(NamedTuple):
    """The image of a case."""

    values: NDArray[Any]
    """(C, *space)."""
    affine: Floats | None
    spacing_mm: tuple[float, ...] | None

    def case(
        self,
        label: Labels,
        *,
        labelled_regions: tuple[str, ...] | None = None,
        reader_labels: Mapping[str, Labels] | None = None,
    ) -> Case:
        """Return the case of this image and a label (*space)."""
        return Case(
            image=self.values,
            label=label,
            affine=self.affine,
            spacing_mm=self.spacing_mm,
            labelled_regions=labelled_regions,
            reader_labels=reader_labels or {},
        )


def read_image(
    planes: Sequence[Sequence[Path]], channels: Sequence[str], *, spacing_mm: tuple[float, ...] | None
) -> Voxels:
    """Return the image of the files of each slice, or of the files of a whole image.

    Raises:
        DataError: a file cannot be read, has another number of channels, or is on another grid than the first.
    """
    images = [read_image_files(files, channels=channels, advise=_name_channels) for files in planes]
    first = images[0]
    values = first.channels
    if len(images) > 1:
        for files, image in zip(planes, images, strict=True):
            check_shape(files[0], image.channels.shape[1:], first.channels.shape[1:], like=planes[0][0].name)
        values = np.stack([image.channels for image in images], axis=1)
    ndim = values.ndim - 1
    spacing = first.spacing_mm if first.spacing_mm is not None and len(images) == 1 else spacing_mm
    if spacing is not None and len(spacing) != ndim:
        raise DataError(
            f"{planes[0][0]}: found {ndim} axes, but `spacing_mm` has {len(spacing)}; give one for each"
        )
    return Voxels(values, first.affine if len(images) == 1 else None, spacing)


def read_label(planes: Sequence[Sequence[Path]], masks: ValueMasks | RegionMasks, *, like: Voxels) -> Labels:
    """Return the label (*space) of the mask files of each slice, or of the files of a whole mask.

    Raises:
        DataError: a file cannot be read, has other values, or is on another grid than the image.
    """
    labels = [_read_mask(files, masks, like) for files in planes]
    label = np.stack(labels) if len(labels) > 1 else labels[0]
    check_shape(planes[0][0], label.shape, like.values.shape[1:], like="its image")
    return label


def reference_of(labels: Mapping[str, Labels], reference: str, *, case_id: str) -> Labels:
    """Return the label that is trained on, of the labels of the readers of a case.

    Raises:
        DataError: it is that of a reader who has none, or SimpleITK is needed and not installed.
    """
    if reference in labels:
        return labels[reference]
    if reference not in {MAJORITY, STAPLE}:
        fault = f"found no label of '{reference}', expected one; add it, or choose another `reference`"
        raise DataError(f"{case_id}: {fault}")
    return fuse_labels(list(labels.values()), reference)


def _name_channels(count: int) -> str:
    """Return what to do about an image of so many channels."""
    names = ["red", "green", "blue"] if count == 3 else [f"channel_{number}" for number in range(count)]
    listed = ", ".join(f'"{name}"' for name in names)
    return f"set channels = [{listed}] for the dataset in the benchmark file"


def _read_mask(files: Sequence[Path], masks: ValueMasks | RegionMasks, like: Voxels) -> Labels:
    try:
        if isinstance(masks, RegionMasks):
            return masks.labels([_read_values(path, like) for path in files])
        (path,) = files
        if masks.has_colours:
            return masks.labels(np.moveaxis(read_image_file(path, pages_as_channels=3).channels, 0, -1))
        return masks.labels(_read_values(path, like))
    except FileFault as fault:
        raise DataError(f"{files[0]}: {fault}") from None


def _read_values(path: Path, like: Voxels) -> NDArray[Any]:
    stored: LabelMap = read_label_map(path)
    check_place(path, stored.affine, like.affine, like="its image")
    return stored.voxels
