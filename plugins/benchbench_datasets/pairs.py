"""Datasets whose cases are one NIfTI image and one NIfTI label each: how the files are found, checked and read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from benchbench import Case, DataError
from benchbench.images.nifti import Volume, read_image, read_label
from benchbench_datasets.case_files import (
    SUFFIXES,
    file_problem,
    natural_order,
    nearest_name,
    read_volumes,
    second_copy_fault,
    unexpected_label_faults,
)


def find_case_ids(paths: Iterable[Path], pattern: str) -> list[str]:
    """Return the first group of every file name that matches `pattern` up to its suffix, each once, 2 before 10.

    Capitals match as well: no file of these datasets is named with them, so such a file must become a case that
    fails and not be skipped.
    """
    file_name = re.compile(pattern + r"\.nii(?:\.gz)?", re.IGNORECASE)
    case_ids = set()
    for path in paths:
        if match := file_name.fullmatch(path.name):
            case_ids.add(match[1])
    return sorted(case_ids, key=natural_order)


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """The pairs of one dataset."""

    dataset: str
    """The dataset's name, with which every problem begins."""
    root: Path
    values: Mapping[int, int]
    """Label value in the file -> label value of the case; any other value is refused."""
    advice: Mapping[int, str]
    """Label value that is refused -> what the user can do about it."""

    def files(self, *, image: Path, label: Path) -> list[Path]:
        """Return the image and the label of a case, given both paths without their suffix.

        Raises:
            DataError: one of them is missing, or is there with both suffixes.
        """
        images, labels = _with_any_suffix(image), _with_any_suffix(label)
        others: list[str] = []
        if not images or not labels:
            others = _similar_names(image, {*images, *labels})
        faults = list(_file_faults(images, labels, expected=(image.name, label.name), others=others))
        if faults:
            raise DataError(*(self._problem(path or image, fault) for path, fault in faults))
        return [*images, *labels]

    def load(self, files: Sequence[Path]) -> Case:
        """Return the case of an image and a label, with the axes as stored.

        Raises:
            DataError: with every fault of the two files.
        """
        image_path, label_path = files
        image, label = read_volumes(
            {image_path: read_image, label_path: read_label},
            dataset=self.dataset,
            root=self.root,
            label_faults=self._label_faults,
        )
        values = np.zeros_like(label.voxels, dtype=np.uint8)
        for stored, value in self.values.items():
            values[label.voxels == stored] = value
        return Case(image=image.voxels[None], label=values, affine=image.affine, spacing_mm=image.spacing_mm)

    def image_files(self, image: Path) -> list[Path]:
        """Return the image of a case, given its path without its suffix.

        Raises:
            DataError: the file is missing, or is there with both suffixes.
        """
        images = _with_any_suffix(image)
        if not images:
            expected = f"{image.name}{SUFFIXES[0]}"
            raise DataError(self._problem(image, f"found no image, expected {expected}; copy it from the archive"))
        if len(images) > 1:
            raise DataError(self._problem(images[0], second_copy_fault(images[1].name)))
        return images

    def load_image(self, files: Sequence[Path]) -> Case:
        """Return the case of an image alone; its label is 0.

        Raises:
            DataError: with the fault of the file.
        """
        readers = dict.fromkeys(files, read_image)
        (volume,) = read_volumes(readers, dataset=self.dataset, root=self.root, label_faults=lambda _: ())
        label = np.zeros(volume.voxels.shape, np.uint8)
        return Case(image=volume.voxels[None], label=label, affine=volume.affine, spacing_mm=volume.spacing_mm)

    def _label_faults(self, label: Volume) -> list[str]:
        return unexpected_label_faults(label, allowed=self.values.keys(), advice=self.advice)

    def _problem(self, path: Path, fault: str) -> str:
        return file_problem(path, fault, dataset=self.dataset, root=self.root)


class PairedDataset(Protocol):
    """A dataset of pairs."""

    @property
    def pairs(self) -> Pairs: ...

    def files(self, case_id: str) -> list[Path]: ...

    def image_files(self, case_id: str) -> list[Path]: ...


def load_pair(dataset: PairedDataset, case_id: str) -> Case:
    """Return a case of a dataset of pairs; such a dataset has this function as its method `load`.

    Raises:
        DataError: with every fault of the two files.
    """
    return dataset.pairs.load(dataset.files(case_id))


def load_image_of_pair(dataset: PairedDataset, case_id: str) -> Case:
    """Return the image of a case; such a dataset has this function as its method `load_image`.

    Raises:
        DataError: with the fault of the file.
    """
    return dataset.pairs.load_image(dataset.image_files(case_id))


def _with_any_suffix(stem: Path) -> list[Path]:
    paths = [stem.with_name(stem.name + suffix) for suffix in SUFFIXES]
    # a broken link is a file that cannot be read, not a missing one
    return [path for path in paths if path.is_file() or path.is_symlink()]


def _similar_names(image: Path, paths: set[Path]) -> list[str]:
    """Return the names of NIfTI files that begin like a case, given its image without suffix, except `paths`."""
    of_case = re.compile(rf"{re.escape(image.name)}(?!\d).*\.nii(\.gz)?", re.IGNORECASE)
    names = [path.name for path in image.parent.glob("*") if path not in paths]
    return sorted(filter(of_case.fullmatch, names))


def _file_faults(
    images: list[Path], labels: list[Path], *, expected: tuple[str, str], others: Sequence[str]
) -> Iterator[tuple[Path | None, str]]:
    """Yield (file, fault) for files that are missing or there twice; the file is None where both are missing."""
    image, label = (f"{stem}{SUFFIXES[0]}" for stem in expected)
    if not images and not labels:
        yield None, f"found no file, expected {image} and {label}; copy both from the archive"
    elif not labels:
        fault = f"found no label, expected {label} for it; copy the label from the archive"
        fault += nearest_name(label, others)
        yield images[0], fault
    elif not images:
        fault = f"found no image, expected {image} for it; copy the image from the archive"
        fault += nearest_name(image, others)
        yield labels[0], fault
    for paths in (images, labels):
        if len(paths) > 1:
            yield paths[0], second_copy_fault(paths[1].name)
