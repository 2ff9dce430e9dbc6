"""Patient folders of BraTS, with one NIfTI file for each modality and one for the labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np

from benchbench import Case, DataError, DataNotFoundError, Task
from benchbench.images.label_values import distinct_values
from benchbench.images.nifti import Volume, read_image, read_label
from benchbench.images.stack import Stack
from benchbench_datasets.case_files import (
    COPY_AGAIN,
    SUFFIXES,
    file_problem,
    natural_order,
    nearest_name,
    read_volumes,
    second_copy_fault,
    unexpected_label_faults,
)

# a challenge has patients of earlier ones and of TCGA; so has Task 1 of the Medical Segmentation Decathlon
RELATIVES = (
    *(
        "brats12",
        "brats13",
        "brats14",
        "brats15",
        "brats16",
        "brats17",
        "brats18",
        "brats19",
        "brats20",
        "brats21",
    ),
    *("brats22", "brats23", "TCGA-LGG", "TCGA-GBM", "lgg", "Task01_BrainTumour"),
)
MODALITIES = ("flair", "t1", "t1ce", "t2")
HIDDEN = (".", "__MACOSX")
BRATS_2015 = (
    "labels 3 and 4 in one file are those of BraTS 2012 to 2015, where 3 is non-enhancing tumour: change 3 to 1,"
    " then read the files as brats20, or as brats21 with edition = 2021"
)
"""Advice for labels that no later edition has together."""

# the whole tumour is seen as oedema around the core, and the core as necrosis around the enhancing tumour
_NECROSIS, _OEDEMA, _ENHANCING = "#e0312b", "#3aa655", "#f7d038"

Targets = Literal["regions", "classes"]
Stems = Mapping[str, Sequence[str]]
"""Modality or "seg" -> the names without suffix that its file may have."""


def brats_task(channels: Sequence[str], *, targets: Targets, enhancing: int) -> Task:
    """Return the task of the nested regions that BraTS scores, or of the classes that the regions consist of.

    `enhancing` is the label value of enhancing tumour.
    """
    regions: dict[str, tuple[int, ...]]
    if targets == "classes":
        regions = {"necrosis": (1,), "oedema": (2,), "enhancing": (enhancing,)}
        colours = (_NECROSIS, _OEDEMA, _ENHANCING)
    else:
        regions = {"whole_tumour": (1, 2, enhancing), "tumour_core": (1, enhancing), "enhancing": (enhancing,)}
        colours = (_OEDEMA, _NECROSIS, _ENHANCING)
    return Task(channels=tuple(channels), regions=regions, colours=dict(zip(regions, colours, strict=True)))


@dataclass(frozen=True, kw_only=True)
class Patients:
    """The patient folders of one dataset."""

    dataset: str
    """The dataset's name, with which every problem begins."""
    root: Path
    places: tuple[str, ...]
    """Patterns of the folders under the root that may hold the patients; the first one with patients is used."""
    pattern: str
    """Pattern of the name of a patient's folder."""
    enhancing: int
    """Label value of enhancing tumour."""
    advice: Mapping[int, str]
    """Label value that is refused -> what the user can do about it."""

    @cached_property
    def folder(self) -> Path:
        """The folder that holds the patients.

        Raises:
            DataNotFoundError: there are no patients.
            DataError: there are patients in more than one folder.
        """
        for place in self.places:
            folders = self._folders_with_patients(place)
            if len(folders) > 1:
                names = ", ".join(folder.relative_to(self.root).as_posix() for folder in folders)
                raise DataError(
                    f"{self.dataset}: {self.root}: found patients in {names}, expected them in one folder; "
                    "move the others away, or name the one folder"
                )
            if folders:
                return folders[0]
        raise DataNotFoundError(
            f"{self.dataset}: {self.root}: found no folder {self.pattern} there or below, expected one for "
            "each patient; unpack the training data there"
        )

    def _folders_with_patients(self, place: str) -> list[Path]:
        parents = {path.parent for path in self.root.glob(f"{place}/{self.pattern}/")}
        return sorted(parent for parent in parents if not parent.relative_to(self.root).name.startswith(HIDDEN))

    def names(self) -> list[str]:
        """Return the names of all patient folders, 2 before 10."""
        return sorted((path.name for path in self.folder.glob(f"{self.pattern}/")), key=natural_order)

    def files(
        self, case_id: str, *, stems: Stems, modalities: Sequence[str], has_label: bool = True
    ) -> list[Path]:
        """Return the files of the modalities and, with `has_label`, last the label.

        Raises:
            DataError: a file is missing or is there with both suffixes, or a NIfTI file has a name that no stem
                explains.
        """
        folder = self.folder / case_id
        present = {path.name for path in folder.glob("*") if _is_nifti(path.name)}
        names = {part: sorted(present & _with_suffixes(stems[part])) for part in stems}
        parts = [*modalities, "seg"] if has_label else list(modalities)
        unexplained = _unexplained(stems, present)
        faults = [
            *_missing_faults(stems, names, parts, unexplained),
            *_unexplained_faults(stems, names, unexplained),
        ]
        if faults:
            raise DataError(*(self._problem(folder / name, fault) for name, fault in faults))
        return [folder / names[part][0] for part in parts]

    def load(self, files: Sequence[Path], *, slices: tuple[int, int] | None = None) -> Case:
        """Return image (C, X, Y, Z) and label (X, Y, Z) from the files of the modalities and last the label.

        The axes are as stored. Only the axial slices from the first number of `slices` up to the second, which is
        excluded, are kept.

        Raises:
            DataError: with every fault of the files, or there are fewer slices than asked for.
        """
        *image_paths, label_path = files
        stack = Stack(len(image_paths))
        readers = {path: partial(read_image, room=stack.room(i)) for i, path in enumerate(image_paths)}
        volumes = read_volumes(
            {**readers, label_path: read_label},
            dataset=self.dataset,
            root=self.root,
            label_faults=partial(self._label_faults, slices=slices),
        )
        return _case(volumes, stack, slices=slices)

    def load_image(self, files: Sequence[Path], *, slices: tuple[int, int] | None = None) -> Case:
        """Return a case as `load` does from the files of the modalities alone; its label is 0.

        Raises:
            DataError: as `load`.
        """
        stack = Stack(len(files))
        readers = {path: partial(read_image, room=stack.room(i)) for i, path in enumerate(files)}
        volumes = read_volumes(
            readers,
            dataset=self.dataset,
            root=self.root,
            label_faults=lambda volume: _depth_faults(volume, slices),
        )
        label = volumes[0]._replace(voxels=np.zeros(volumes[0].voxels.shape, np.uint8))
        return _case([*volumes, label], stack, slices=slices)

    def has_enhancing(self, label: Path) -> bool:
        """Return True if any voxel of the label is enhancing tumour.

        Raises:
            DataError: the file cannot be read.
        """
        (volume,) = read_volumes(
            {label: read_label}, dataset=self.dataset, root=self.root, label_faults=lambda _: ()
        )
        return bool((volume.voxels == self.enhancing).any())

    def _label_faults(self, label: Volume, *, slices: tuple[int, int] | None) -> Iterator[str]:
        advice = self.advice
        allowed = {0, 1, 2, self.enhancing}
        values = distinct_values(label.voxels)
        if {3, 4} <= values:
            advice = dict.fromkeys((3, 4), BRATS_2015)
        if not values <= allowed:  # counting takes as long again
            yield from unexpected_label_faults(label, allowed=allowed, advice=advice)
        yield from _depth_faults(label, slices)

    def _problem(self, path: Path, fault: str) -> str:
        return file_problem(path, fault, dataset=self.dataset, root=self.root)


def _depth_faults(volume: Volume, slices: tuple[int, int] | None) -> Iterator[str]:
    depth = volume.voxels.shape[-1]
    if slices and slices[1] > depth:
        yield f"found {depth} slices, expected at least {slices[1]}; lower the end of 'slices'"


def _is_nifti(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _with_suffixes(stems: Sequence[str]) -> set[str]:
    return {stem + suffix for stem, suffix in product(stems, SUFFIXES)}


def _unexplained(stems: Stems, present: set[str]) -> list[str]:
    """Return the names of NIfTI files that belong to no modality."""
    explained = set().union(*(_with_suffixes(alternatives) for alternatives in stems.values()))
    return sorted(present - explained)


def _missing_faults(
    stems: Stems, names: Mapping[str, list[str]], parts: Sequence[str], unexplained: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield (file name, fault) for files that are missing or there twice; a missing file has the name ""."""
    for part in parts:
        if not names[part]:
            expected = f"{' or '.join(stems[part])}{SUFFIXES[0]} or {SUFFIXES[1]}"
            remedy = f"{COPY_AGAIN}; a patient of the validation data has none" if part == "seg" else COPY_AGAIN
            nearest = nearest_name(f"{stems[part][0]}{SUFFIXES[0]}", unexplained)
            yield "", f"found no file of '{part}', expected {expected}; {remedy}{nearest}"
        for name in names[part][1:]:
            yield name, second_copy_fault(names[part][0])


def _unexplained_faults(
    stems: Stems, names: Mapping[str, list[str]], unexplained: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield (file name, fault) for NIfTI files that belong to no modality, with the nearest missing name."""
    missing = [f"{stems[part][0]}{SUFFIXES[0]}" for part in stems if not names[part]]
    for name in unexplained:
        close = get_close_matches(name, missing, n=1, cutoff=0)
        example = next(iter(close), f"{stems['seg'][0]}{SUFFIXES[0]}")
        yield name, f"found a name of no modality, expected a name like {example}; rename the file or move it away"


def _case(volumes: Sequence[Volume], stack: Stack, *, slices: tuple[int, int] | None) -> Case:
    """Return the case of volumes of which the last is the label, on the grid of the images.

    The label's own affine is not used, because its file may lack the sform.
    """
    *images, label = volumes
    start, stop = slices or (0, label.voxels.shape[-1])
    affine = images[0].affine.copy()
    affine[:3, 3] += affine[:3, 2] * start
    return Case(
        image=stack.stacked([volume.voxels for volume in images])[..., start:stop],
        label=label.voxels[..., start:stop].astype(np.uint8, order="K", copy=False),
        affine=affine,
        spacing_mm=images[0].spacing_mm,
    )
